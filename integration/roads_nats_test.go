package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/api"
	"replicator/oplog"
)

type clientRoad struct{ client *api.Client }

func (clientRoad) name() string { return "client" }

func (r clientRoad) do(ctx context.Context, a ask) (answer, error) {
	if a.after != "" && a.verb != "reached" {
		tokens, err := api.ParseTokens(a.after)
		if err != nil {
			return answer{}, refusal("bad_request")
		}
		ctx = api.After(ctx, tokens...)
	}
	got, err := r.ask(ctx, a)
	return got, apiRefusal(err)
}

func apiRefusal(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return refusal(e.Code)
	}
	return err
}

func (r clientRoad) ask(ctx context.Context, a ask) (got answer, err error) {
	c, key := r.client, []byte(a.key)
	switch a.verb {
	case "get":
		rec, err := c.Get(ctx, a.bucket, key)
		return answer{rows: []api.Record{rec}}, err
	case "mget":
		keys := make([][]byte, len(a.keys))
		for i := range keys {
			keys[i] = []byte(a.keys[i])
		}
		got.rows, err = c.GetMany(ctx, a.bucket, keys...)
	case "put":
		o := api.PutOptions{Create: a.create, TTL: a.ttl, If: apiCondition(a)}
		if !a.expires.IsZero() {
			o.Expiry = a.expires.UnixMilli()
		}
		return written(c.Put(ctx, a.bucket, key, []byte(a.value), o))
	case "del":
		if a.at != 0 {
			return written(c.DeleteLocal(ctx, a.bucket, key, a.ifDot))
		}
		return written(c.Delete(ctx, a.bucket, key))
	case "batch":
		res, err := c.Batch(ctx, a.bucket, records(a.ops), api.PutOptions{Create: a.create})
		return batchAnswer(res), err
	case "delprefix":
		got.deleted, err = c.DeletePrefix(ctx, a.bucket, key)
	case "reached":
		tokens, err := api.ParseTokens(a.after)
		if err != nil {
			return got, refusal("bad_request")
		}
		return got, c.Reached(ctx, "a", a.bucket, tokens...)
	case "list":
		for rec, err := range c.List(ctx, a.bucket, api.ListOptions{
			Prefix: []byte(a.o.prefix), Start: bound(a.o.start), End: bound(a.o.end), After: bound(a.o.behind),
			Limit: a.o.limit, Reverse: a.o.reverse, Values: !a.o.keysOnly, Full: true,
		}) {
			if err != nil {
				return got, err
			}
			got.rows = append(got.rows, rec)
		}
	}
	return got, err
}

func apiCondition(a ask) api.Condition { return api.Condition{Absent: a.absent, Revision: a.ifDot} }

func written(res api.PutResult, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	dot, err := res.Token()
	return answer{wrote: []oplog.Dot{dot}}, err
}

func batchAnswer(res api.BatchResult) answer {
	got := answer{written: res.Written, absent: res.Absent}
	if o, err := oplog.ParseOrigin(res.Origin); err == nil {
		got.wrote = []oplog.Dot{{Origin: o, Seq: res.First}, {Origin: o, Seq: res.Last}}
	}
	return got
}

func (r clientRoad) watch(ctx context.Context, a ask) iter.Seq2[api.WatchEvent, error] {
	return func(yield func(api.WatchEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		on := true
		o := api.WatchOptions{
			Query: api.WatchQuery{FromStart: a.w.fromStart, Resume: a.w.token, PutsOnly: a.w.noDeletes, MetaOnly: a.w.metaOnly},
			Marked: func(m api.WatchMark) {
				if on = on && yield(api.WatchEvent{Mark: &m}, nil); !on {
					cancel()
				}
			},
		}
		for rec, err := range r.client.Watch(ctx, a.bucket, []byte(a.o.prefix), o) {
			if !on || !yield(eventOf(&rec), apiRefusal(err)) {
				return
			}
		}
	}
}

func eventOf(r *api.Record) api.WatchEvent {
	return api.WatchEvent{Local: r.Local, Entry: oplog.Entry{
		Key: r.Key, Value: r.Value, Tombstone: r.Deleted, Stamp: r.Stamp, Expiry: r.Expiry,
	}}
}

type rawRoad struct{ nc *nats.Conn }

func (rawRoad) name() string { return "raw" }

func (rawRoad) watch(context.Context, ask) iter.Seq2[api.WatchEvent, error] {
	return func(yield func(api.WatchEvent, error) bool) { yield(api.WatchEvent{}, errNoWay) }
}

func (r rawRoad) do(ctx context.Context, a ask) (got answer, err error) {
	body := a.key // get, del
	verb := a.verb
	switch {
	case a.verb == "put" && a.absent:
		verb, a.absent = "create", false
		body = string(record(a))
	case a.verb == "put" && a.at != 0, a.verb == "del" && a.at != 0:
		verb = "update"
		body = string(record(a))
	case a.verb == "put":
		body = string(record(a))
	case a.verb == "mget":
		body = string(keyLines(a.keys))
	case a.verb == "batch":
		body = string(append(append(mustMarshal(map[string]any{"v": 1, "create": a.create}), '\n'), records(a.ops)...))
	case a.verb == "reached":
		body = a.after
	case a.verb == "list":
		verb, body = "ls", string(mustMarshal(rangeFields(a)))
	case a.verb == "delprefix":
		fields := map[string]any{}
		text(fields, "prefix", a.key)
		body = string(mustMarshal(fields))
	}
	m, err := r.request(ctx, a, verb, body)
	if err != nil {
		return got, err
	}
	switch a.verb {
	case "get":
		rec, err := headerRecord(a.key, m.Data, m.Header.Get)
		return answer{rows: []api.Record{rec}}, err
	case "put", "del":
		return putAnswer(m.Data)
	}
	return linesAnswer(a, m.Data)
}

// request has to fit one message, and so has its reply.
func (r rawRoad) request(ctx context.Context, a ask, verb, body string) (*nats.Msg, error) {
	if len(body) > 512<<10 {
		return nil, errNoWay
	}
	m := &nats.Msg{Subject: "replicator." + a.bucket + ".api.a." + verb, Header: nats.Header{}, Data: []byte(body)}
	if a.after != "" && a.verb != "reached" {
		m.Header.Set("Replicator-After", a.after)
	}
	if end, ok := ctx.Deadline(); ok {
		m.Header.Set("Replicator-Timeout", time.Until(end).String())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // it is the node that says behind
	defer cancel()
	reply, err := r.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, err
	}
	if status := reply.Header.Get("Nats-Service-Error-Code"); status != "" {
		var e struct{ Error api.Error }
		if err := json.Unmarshal(reply.Data, &e); err != nil || strconv.Itoa(e.Error.Status) != status {
			return nil, fmt.Errorf("an error of status %s with the body %s", status, clip(string(reply.Data)))
		}
		return nil, refusal(e.Error.Code)
	}
	if bytes.HasPrefix(reply.Data, []byte{2}) {
		return nil, errNoWay // frames, which nats req does not read
	}
	return reply, nil
}
