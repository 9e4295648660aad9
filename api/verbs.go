package api

import (
	"context"
	"iter"
	"strconv"

	"github.com/nats-io/nats.go"

	"replicator/bus"
	"replicator/oplog"
)

// The verbs of the API, as they stand in subjects.
const (
	verbGet    = "get"
	verbPut    = "put"
	verbDel    = "del"
	verbLoad   = "load"
	verbBatch  = "batch"
	verbLs     = "ls"
	verbWatch  = "watch"
	verbSync   = "sync"
	verbStatus = "status"
	verbVerify = "verify"

	verbConflicts = "conflicts"
	verbTake      = "take"

	verbLeave   = "leave"
	verbForget  = "forget"
	verbReadmit = "readmit"
	verbCollect = "collect"

	verbReconcile = "reconcile"
)

// anyVerbs are those that any node may answer: one request, one reply. Those of
// masterVerbs it may if it is a master.
var (
	anyVerbs    = []string{verbGet, verbLs, verbStatus}
	masterVerbs = []string{verbPut, verbDel}
)

func (s *Service) verbs() map[string]handler {
	return map[string]handler{
		verbGet:    s.ready(s.get),
		verbPut:    s.ready(s.put),
		verbDel:    s.ready(s.del),
		verbLoad:   s.ready(s.load),
		verbBatch:  s.ready(s.batch),
		verbLs:     s.ready(s.list),
		verbWatch:  s.ready(s.watch),
		verbSync:   s.ready(s.sync),
		verbStatus: s.tellStatus,
		verbVerify: s.ready(s.verify),

		verbConflicts: s.ready(s.conflicts),
		verbTake:      s.ready(s.takeConflict),

		verbLeave:   s.ready(s.leave),
		verbForget:  s.ready(s.forget),
		verbReadmit: s.ready(s.readmit),
		verbCollect: s.ready(s.collect),

		verbReconcile: s.ready(s.reconcile),
	}
}

// ready refuses what a node that is starting or stopping cannot do.
func (s *Service) ready(h handler) handler {
	return func(ctx context.Context, r *request) (*reply, error) {
		if !s.backend.Ready() {
			return nil, ErrNotReady.With("node %s is not ready", s.backend.Name())
		}
		return h(ctx, r)
	}
}

// userBucket checks that r names a bucket that users may have.
func userBucket(r *request) error {
	if err := bus.ValidBucket(r.bucket); err != nil {
		return ErrBadBucket.With("%s", err)
	}
	return nil
}

// scope returns the bucket r speaks of, empty for all.
func scope(r *request) (string, error) {
	if r.bucket == bus.Fleet {
		return "", nil
	}
	return r.bucket, userBucket(r)
}

func (s *Service) get(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	if err := checkKey(r.body); err != nil {
		return nil, err
	}
	e, err := s.backend.Get(ctx, r.bucket, r.body)
	if err != nil {
		return nil, err
	}
	h := nats.Header{
		HeaderNode:   {s.backend.Name()},
		HeaderOrigin: {e.Stamp.Origin.String()},
		HeaderSeq:    {strconv.FormatUint(e.Stamp.Seq, 10)},
		HeaderHLC:    {e.Stamp.HLC.String()},
	}
	if e.Expiry != 0 {
		h.Set(HeaderExpiry, formatMillis(e.Expiry))
	}
	return &reply{header: h, body: e.Value}, nil
}

func (s *Service) put(ctx context.Context, r *request) (*reply, error) {
	rec, create, err := parseRecord(r.body)
	if err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	if rec.Bare || rec.Deleted {
		return nil, ErrBadRequest.With("no value")
	}
	return s.writeOne(ctx, r, WriteOp{Key: rec.Key, Value: rec.Value}, WriteOptions{CreateBucket: create})
}

func (s *Service) del(ctx context.Context, r *request) (*reply, error) {
	return s.writeOne(ctx, r, WriteOp{Key: r.body, Delete: true}, WriteOptions{})
}

func (s *Service) writeOne(ctx context.Context, r *request, op WriteOp, o WriteOptions) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	if err := checkOp(op); err != nil {
		return nil, err
	}
	results, err := s.backend.Write(ctx, r.bucket, []WriteOp{op}, o)
	if err != nil {
		return nil, err
	}
	if len(results) != 1 {
		return nil, ErrInternal.With("%d results for one write", len(results))
	}
	if results[0].Err != nil {
		return nil, results[0].Err
	}
	return &reply{body: mustJSON(putResult(s.backend.Name(), results[0].Stamp))}, nil
}

func (s *Service) tellStatus(ctx context.Context, _ *request) (*reply, error) {
	return &reply{body: mustJSON(struct {
		V int `json:"v"`
		Status
	}{1, s.backend.Status(ctx)})}, nil
}

// A page is gathered until it is full; its head is known last and sent first.
type page struct {
	body []byte
	keys int
	more bool
}

func (s *Service) list(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	ask, prefix, after, err := parseRange(r.body)
	if err != nil {
		return nil, err
	}
	limit := pageKeys
	if ask.Limit > 0 {
		limit = min(limit, ask.Limit)
	}
	// One row more than fits tells whether there is more.
	rows := s.backend.Scan(ctx, r.bucket, ScanOptions{
		Prefix: prefix, After: after, Limit: limit + 1, KeysOnly: !ask.Values,
	})
	p, err := gather(rows, ask, limit)
	if err != nil {
		return nil, err
	}
	body, err := withHead(pageHead{V: 1, Node: s.backend.Name(), More: p.more}, p.body)
	return &reply{body: body}, err
}

func gather(rows iter.Seq2[oplog.Entry, error], ask rangeBody, limit int) (page, error) {
	var p page
	for e, err := range rows {
		if err != nil {
			return p, err
		}
		if p.keys >= limit {
			p.more = true
			break
		}
		rec := Record{Key: e.Key, Value: e.Value, Bare: !ask.Values}
		if ask.Full {
			rec.Stamp, rec.Expiry = e.Stamp, e.Expiry
		}
		before := len(p.body)
		p.body = append(rec.AppendJSON(p.body), '\n')
		if len(p.body) > pageBytes && p.keys > 0 {
			p.body, p.more = p.body[:before], true
			break
		}
		p.keys++
	}
	return p, nil
}
