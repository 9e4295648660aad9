package integration_test

import (
	"context"
	"errors"
	"iter"
	"strings"

	library "replicator"
	"replicator/api"
	"replicator/oplog"
)

type goRoad struct{ node *library.Node }

func (goRoad) name() string { return "go" }

func (r goRoad) bucket(a ask) (*library.Bucket, error) {
	b, err := r.node.Bucket(a.bucket)
	if errors.Is(err, library.ErrNoBucket) && a.create {
		b, err = r.node.CreateBucket(a.bucket)
	}
	return b, err
}

func (r goRoad) do(ctx context.Context, a ask) (answer, error) {
	got, err := r.ask(ctx, a)
	return got, goRefusal(err)
}

func (r goRoad) ask(ctx context.Context, a ask) (got answer, err error) {
	b, err := r.bucket(a)
	if err != nil {
		return got, err
	}
	if a.after != "" {
		tokens, err := api.ParseTokens(a.after)
		if err != nil {
			return got, refusal("bad_request")
		}
		wait := b.WaitSeen
		if a.verb == "reached" {
			wait = b.WaitDurable
		}
		if err := wait(ctx, tokens...); err != nil {
			return got, err
		}
	}
	switch a.verb {
	case "get":
		e, err := b.Get(ctx, []byte(a.key))
		return answer{rows: []api.Record{api.RecordOf(&e)}}, err
	case "mget":
		for _, key := range a.keys {
			switch e, err := b.Get(ctx, []byte(key)); {
			case err == nil:
				got.rows = append(got.rows, api.RecordOf(&e))
			case !errors.Is(err, library.ErrNotFound):
				return got, err
			}
		}
	case "put", "del":
		e, err := r.write(ctx, b, a)
		return answer{wrote: []oplog.Dot{e.Dot()}}, err
	case "batch":
		return r.batch(ctx, b, a)
	case "delprefix":
		got.deleted, err = b.DeletePrefix(ctx, []byte(a.key))
	case "list":
		for e, err := range b.Scan(ctx, library.ScanOptions{
			Prefix: []byte(a.o.prefix), Start: bound(a.o.start), End: bound(a.o.end), After: bound(a.o.behind),
			Limit: a.o.limit, Reverse: a.o.reverse, KeysOnly: a.o.keysOnly,
		}) {
			if err != nil {
				return got, err
			}
			got.rows = append(got.rows, api.RecordOf(&e))
		}
	}
	return got, err
}

// bound is one end of a range, nil if it is open.
func bound(key string) []byte {
	if key == "" {
		return nil
	}
	return []byte(key)
}

func (goRoad) write(ctx context.Context, b *library.Bucket, a ask) (library.Entry, error) {
	key, value := []byte(a.key), []byte(a.value)
	switch {
	case a.verb == "del" && a.at != 0:
		return b.DeleteLocal(ctx, key, a.ifDot)
	case a.verb == "del":
		return b.Delete(ctx, key)
	}
	return b.PutWith(ctx, key, value, goOptions(a))
}

func goOptions(a ask) library.PutOptions {
	o := library.PutOptions{TTL: a.ttl, Expires: a.expires}
	switch {
	case a.absent:
		o.If = library.IfAbsentLocal()
	case a.at != 0:
		o.If = library.IfRevisionLocal(a.ifDot)
	}
	return o
}

func (goRoad) batch(ctx context.Context, b *library.Bucket, a ask) (got answer, err error) {
	ops := make([]library.Op, len(a.ops))
	for i, op := range a.ops {
		ops[i] = library.Op{Key: []byte(op.key), Value: []byte(op.value), Delete: op.verb == "del", PutOptions: goOptions(op)}
	}
	entries, err := b.Batch(ctx, ops...)
	for _, e := range entries {
		if e.Stamp.IsZero() {
			got.absent++
			continue
		}
		if got.written++; got.written == 1 {
			got.wrote = []oplog.Dot{e.Dot(), {}}
		}
		got.wrote[1] = e.Dot()
	}
	return got, err
}

func (r goRoad) watch(ctx context.Context, a ask) iter.Seq2[api.WatchEvent, error] {
	return func(yield func(api.WatchEvent, error) bool) {
		b, err := r.bucket(a)
		if err != nil {
			yield(api.WatchEvent{}, goRefusal(err))
			return
		}
		for ev, err := range b.Watch(ctx, library.WatchOptions{
			Prefix: []byte(a.o.prefix), FromStart: a.w.fromStart, Resume: a.w.token, IgnoreDeletes: a.w.noDeletes, MetaOnly: a.w.metaOnly,
		}) {
			told := api.WatchEvent{Entry: ev.Entry, Local: ev.Local}
			if ev.Mark != nil {
				told.Mark = new(api.WatchMark(*ev.Mark))
			}
			if !yield(told, goRefusal(err)) {
				return
			}
		}
	}
}

// goRefusal is the code that docs/api.md has for an error of the library.
func goRefusal(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*library.NameError](err); ok { // is ErrNoBucket, too
		return refusal("bad_bucket")
	}
	for is, code := range map[error]refusal{
		library.ErrNotFound: "not_found", library.ErrNoBucket: "no_bucket", library.ErrBadToken: "bad_request",
	} {
		if errors.Is(err, is) {
			return code
		}
	}
	if e, ok := errors.AsType[*library.RevisionError](err); ok {
		if e.Absent {
			return refusal("exists")
		}
		return refusal("revision")
	}
	if e, ok := errors.AsType[*library.LimitError](err); ok {
		if e.Size == 0 {
			return refusal("bad_key")
		}
		return refusal("too_large")
	}
	if _, ok := errors.AsType[*library.BehindError](err); ok {
		return refusal("behind")
	}
	if strings.HasPrefix(err.Error(), "replicator: ") { // a mistake of the program, which has no name
		return refusal("bad_request")
	}
	return err
}
