package replicator

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"replicator/api"
	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// serviceBackend is a node as the data API sees it.
type serviceBackend struct{ *Node }

var _ api.Backend = serviceBackend{}

// API returns the node as its data API sees it, for roads other than NATS:
// httpapi.New takes it. It is of no use after Close.
func (n *Node) API() api.Backend { return serviceBackend{n} }

// Get implements api.Backend.
func (n serviceBackend) Get(ctx context.Context, bucket string, key []byte) (oplog.Entry, error) {
	b, err := n.Bucket(bucket)
	if err != nil {
		return oplog.Entry{}, apiError(err)
	}
	e, err := b.Get(ctx, key)
	return e, apiError(err)
}

// Write implements api.Backend: unless they are to be one, each operation stands
// for itself, and an error of one leaves the others alone.
func (n serviceBackend) Write(ctx context.Context, bucket string, ops []api.WriteOp, o api.WriteOptions) ([]api.WriteResult, error) {
	if n.Replica() {
		return nil, apiError(ErrReplica) // and no bucket is made for it
	}
	l, err := n.loop(bucket)
	if errors.Is(err, ErrNoBucket) && o.CreateBucket {
		var b *Bucket
		if b, err = n.Node.CreateBucket(bucket); err == nil {
			l = b.loop
		}
	}
	if err != nil {
		return nil, apiError(err)
	}
	if o.Atomic {
		return l.writeAtomic(ctx, ops)
	}
	results := make([]api.WriteResult, len(ops))
	group := make([]store.Op, 0, len(ops))
	list := make([]*guarded, 0, len(ops))
	place := make([]int, 0, len(ops))
	for i := range ops {
		g := guardAPI(&ops[i])
		if o.SkipUnchanged && !g.op.Delete && g.op.OnlyIf == nil {
			g.op.OnlyIf = changes(&g.op)
		}
		if err := store.CheckOp(g.op); err != nil {
			results[i].Err = asAPIError(err)
			continue
		}
		group, list, place = append(group, g.op), append(list, g), append(place, i)
	}
	if len(group) == 0 {
		return results, nil
	}
	entries, err := l.write(ctx, group)
	if err != nil {
		return nil, apiError(err)
	}
	for i, e := range entries {
		results[place[i]] = l.outcome(list[i], e)
	}
	return results, nil
}

// guardAPI is an operation of the API as the store takes it.
func guardAPI(op *api.WriteOp) *guarded {
	var c Condition
	if op.If.Absent {
		c = IfAbsentLocal()
	} else if op.If != (api.Condition{}) {
		c = IfRevisionLocal(op.If.Revision)
	}
	return c.guard(store.Op{Key: op.Key, Value: op.Value, Delete: op.Delete, Expiry: op.Expiry, Type: op.Type})
}

// DeletePrefix implements api.Backend.
func (n serviceBackend) DeletePrefix(ctx context.Context, bucket string, prefix, after []byte, limit int) (int, []byte, error) {
	if n.Replica() {
		return 0, nil, apiError(ErrReplica) // also if there is nothing to delete
	}
	b, err := n.Bucket(bucket)
	if err != nil {
		return 0, nil, apiError(err)
	}
	deleted, last, err := b.deleteSome(ctx, prefix, after, limit)
	return deleted, last, apiError(err)
}

// writeAtomic writes the operations as one batch.
func (l *loop) writeAtomic(ctx context.Context, ops []api.WriteOp) ([]api.WriteResult, error) {
	batch := make([]*guarded, len(ops))
	for i := range ops {
		batch[i] = guardAPI(&ops[i])
	}
	entries, err := l.writeBatch(ctx, batch)
	if err != nil {
		return nil, apiError(err)
	}
	results := make([]api.WriteResult, len(entries))
	for i, e := range entries {
		results[i] = l.outcome(batch[i], e)
	}
	return results, nil
}

// outcome tells what became of one operation: an entry without a stamp was
// skipped, for its condition did not hold, or a put because nothing would change,
// a delete for lack of a row.
func (l *loop) outcome(g *guarded, e oplog.Entry) api.WriteResult {
	switch {
	case !e.Stamp.IsZero():
		return api.WriteResult{Stamp: e.Stamp}
	case g.failed != nil:
		return api.WriteResult{Err: asAPIError(g.failed)}
	case g.op.Delete:
		return api.WriteResult{Err: api.ErrNotFound}
	}
	row, _, err := l.bucket.Get(g.op.Key)
	if err != nil {
		return api.WriteResult{Err: asAPIError(err)}
	}
	return api.WriteResult{Stamp: row.Stamp, Unchanged: true}
}

// changes reports whether the op would change what a reader sees.
func changes(op *store.Op) func(*oplog.Entry) bool {
	value, expiry, kind := op.Value, op.Expiry, op.Type
	return func(row *oplog.Entry) bool {
		return row == nil || !row.Live(time.Now()) || row.Expiry != expiry || row.Type != kind || !bytes.Equal(row.Value, value)
	}
}

// Reached implements api.Backend.
func (n serviceBackend) Reached(ctx context.Context, bucket string, tokens []oplog.Dot, durable bool) error {
	b, err := n.Bucket(bucket)
	if err != nil {
		return apiError(err)
	}
	if durable {
		return apiError(b.WaitDurable(ctx, tokens...))
	}
	return apiError(b.WaitSeen(ctx, tokens...))
}

// Held implements api.Backend.
func (n serviceBackend) Held(ctx context.Context, bucket string, q api.Quorum, tokens []oplog.Dot) (api.Holding, error) {
	b, err := n.Bucket(bucket)
	if err != nil {
		return api.Holding{}, apiError(err)
	}
	h, err := b.hold(ctx, q, tokens)
	return h, apiError(err)
}

// Scan implements api.Backend.
func (n serviceBackend) Scan(ctx context.Context, bucket string, o api.ScanOptions) iter.Seq2[oplog.Entry, error] {
	b, err := n.Bucket(bucket)
	if err != nil {
		return func(yield func(oplog.Entry, error) bool) { yield(oplog.Entry{}, apiError(err)) }
	}
	return b.Scan(ctx, ScanOptions{
		Prefix: o.Prefix, Start: o.Start, End: o.End, After: o.After, Limit: o.Limit, Reverse: o.Reverse, KeysOnly: o.KeysOnly,
	})
}

// Watch implements api.Backend.
func (n serviceBackend) Watch(ctx context.Context, bucket string, q api.WatchQuery) iter.Seq2[api.WatchEvent, error] {
	b, err := n.Bucket(bucket)
	if err != nil {
		return func(yield func(api.WatchEvent, error) bool) { yield(api.WatchEvent{}, apiError(err)) }
	}
	events := b.Watch(ctx, WatchOptions{
		Prefix: q.Prefix, FromStart: q.FromStart, Resume: q.Resume, Marks: q.Marks, IgnoreDeletes: q.PutsOnly, MetaOnly: q.MetaOnly,
	})
	return func(yield func(api.WatchEvent, error) bool) {
		for ev, err := range events {
			told := api.WatchEvent{Entry: ev.Entry, Local: ev.Local}
			if ev.Mark != nil {
				told.Mark = new(api.WatchMark(*ev.Mark))
			}
			if !yield(told, apiError(err)) {
				return
			}
		}
	}
}

// Conflicts implements api.Backend.
func (n serviceBackend) Conflicts(ctx context.Context, bucket string) iter.Seq2[api.Lost, error] {
	return func(yield func(api.Lost, error) bool) {
		b, err := n.Bucket(bucket)
		if err != nil {
			yield(api.Lost{}, apiError(err))
			return
		}
		for l, err := range b.Conflicts(ctx) {
			if !yield(api.Lost{Entry: l.Entry, At: l.At, Winner: l.Winner, Node: n.Name(), Removed: l.Removed, Parked: l.Parked}, apiError(err)) {
				return
			}
		}
	}
}

// TakeConflict implements api.Backend.
func (n serviceBackend) TakeConflict(ctx context.Context, bucket string, dot oplog.Dot) (oplog.Stamp, error) {
	b, err := n.Bucket(bucket)
	if err != nil {
		return oplog.Stamp{}, apiError(err)
	}
	e, err := b.TakeConflict(ctx, dot)
	return e.Stamp, apiError(err)
}

// syncPause is how often Sync shakes hands again while something is missing.
const syncPause = 300 * time.Millisecond

// Sync implements api.Backend: it shakes hands with every live peer, which makes
// each side pull what it lacks, until all digests are equal.
func (n serviceBackend) Sync(ctx context.Context, bucket string, progress func(api.SyncProgress)) error {
	if bucket != "" {
		if _, err := n.Bucket(bucket); err != nil {
			return apiError(err)
		}
	}
	tick := time.NewTicker(syncPause)
	defer tick.Stop()
	for first := true; ; first = false {
		n.feed(syncer.SyncNow{})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return apiError(ctx.Err())
		case <-n.ctx.Done():
			return apiError(ErrClosed)
		}
		if inSync := reportSync(n.Status(ctx), bucket, progress); inSync && !first {
			return nil
		}
	}
}

// reportSync tells of each bucket at each live peer and reports whether all are
// equal.
func reportSync(s api.Status, bucket string, progress func(api.SyncProgress)) bool {
	all := true
	for _, b := range s.Buckets {
		if bucket != "" && b.Name != bucket {
			continue
		}
		for _, peer := range b.Peers {
			if !peer.Live {
				continue
			}
			p := api.SyncProgress{Bucket: b.Name, Peer: peer.Node, InSync: peer.InSync}
			if b.Pull != nil && b.Pull.Donor == peer.Node {
				p.Keys, p.Bytes = b.Pull.Keys, b.Pull.Bytes
			}
			all = all && peer.InSync
			if progress != nil {
				progress(p)
			}
		}
	}
	return all
}

func clockText(c oplog.Clock) map[string]uint64 {
	m := make(map[string]uint64, len(c))
	for o, seq := range c {
		m[o.String()] = seq
	}
	return m
}

// apiError gives an error of this node the code that clients branch on.
func apiError(err error) error {
	if err == nil {
		return nil
	}
	return asAPIError(err)
}

func asAPIError(err error) *api.Error {
	if known, ok := errors.AsType[*api.Error](err); ok {
		return known
	}
	for _, c := range []struct {
		match func(error) bool
		code  *api.Error
	}{
		{is(ErrNotFound), api.ErrNotFound},
		{is(ErrNoBucket), api.ErrNoBucket},
		{is(ErrOverloaded), api.ErrOverloaded},
		{is(ErrClosed), api.ErrStopping},
		{is(ErrSlowWatcher), api.ErrSlow},
		{is(ErrReplica), api.ErrReplica},
		{is(ErrReplicaStays), api.ErrReplicaStays},
		{is(ErrWiped), api.ErrWiped},
		{is(ErrTokenExpired), api.ErrExpired},
		{is(ErrBadToken), api.ErrBadRequest},
		{is(errBothStarts), api.ErrBadRequest},
		{is(errExists), api.ErrExists},
		{as[*RevisionError], api.ErrRevision},
		{as[*BehindError], api.ErrBehind},
		{as[*FencedError], api.ErrFenced},
		{as[*RetiredError], api.ErrRetired},
		{is(ErrNoMember), api.ErrNoMember},
		{is(ErrNoDoubt), api.ErrNoDoubt},
		{as[*CreateError], api.ErrMayNotCreate},
		{is(ErrLeaving), api.ErrLeaving},
		{as[*PartingError], api.ErrLeaving},
		{as[*MemberLiveError], api.ErrMemberLive},
		{as[*NotHandedOverError], api.ErrNotHandedOver},
		{as[*store.ReadOnlyError], api.ErrReadOnly},
		{as[*bus.NameError], api.ErrBadBucket},
		{as[*TypeError], api.ErrBadRequest},
	} {
		if c.match(err) {
			return c.code.With("%s", text(err))
		}
	}
	if limit, ok := errors.AsType[*store.LimitError](err); ok {
		if limit.Size == 0 {
			return api.ErrBadKey.With("%s", text(err))
		}
		return api.ErrTooLarge.With("%s", text(err))
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return api.ErrOverloaded.With("not answered in time: %s", text(err))
	}
	return api.ErrInternal.With("%s", text(err))
}

// text is an error for people who see no package names.
func text(err error) string {
	s := strings.TrimPrefix(err.Error(), "replicator: ")
	return strings.TrimPrefix(s, "store: ")
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
