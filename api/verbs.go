package api

import (
	"context"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/bus"
	"replicator/oplog"
)

// The verbs of the API, as they stand in subjects.
const (
	verbGet    = "get"
	verbPut    = "put"
	verbCreate = "create"
	verbUpdate = "update"
	verbDel    = "del"
	verbDelAll = "delprefix"
	verbMGet   = "mget"

	verbReached = "reached"
	verbHeld    = "held"

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

	verbInfo         = "bucketinfo"
	verbCreateBucket = "bucketcreate"
	verbLeaveBucket  = "bucketleave"
	verbSettings     = "settings"
	verbSet          = "bucketset"
)

// anyVerbs are those that any node may answer: one request, one reply. Those of
// masterVerbs it may if it is a master.
var (
	anyVerbs    = []string{verbGet, verbMGet, verbLs, verbStatus}
	masterVerbs = []string{verbPut, verbDel}
)

func (h *Handlers) table() map[string]handler {
	return map[string]handler{
		verbGet:    h.ready(h.after(h.get)),
		verbPut:    h.ready(h.put),
		verbCreate: h.ready(h.put),
		verbUpdate: h.ready(h.put),
		verbDel:    h.ready(h.del),
		verbDelAll: h.ready(h.deletePrefix),
		verbMGet:   h.ready(h.after(h.getMany)),
		verbLoad:   h.ready(h.load),
		verbBatch:  h.ready(h.batch),
		verbLs:     h.ready(h.after(h.list)),
		verbStatus: h.tellStatus,
		verbVerify: h.ready(h.verify),

		verbReached: h.ready(h.reached),
		verbHeld:    h.ready(h.held),

		verbConflicts: h.ready(h.conflicts),
		verbTake:      h.ready(h.takeConflict),

		verbLeave:   h.ready(h.leave),
		verbForget:  h.ready(h.forget),
		verbReadmit: h.ready(h.readmit),
		verbCollect: h.ready(h.collect),

		verbReconcile: h.ready(h.reconcile),

		verbInfo:         h.ready(h.bucketInfo),
		verbCreateBucket: h.ready(h.createBucket),
		verbLeaveBucket:  h.ready(h.leaveBucket),
		verbSettings:     h.ready(h.settings),
		verbSet:          h.ready(h.setBuckets),
	}
}

// ready refuses what a node that is starting or stopping cannot do.
func (h *Handlers) ready(do handler) handler {
	return func(ctx context.Context, r *request) (*reply, error) {
		if err := h.checkReady(); err != nil {
			return nil, err
		}
		return do(ctx, r)
	}
}

func (h *Handlers) checkReady() error {
	if !h.backend.Ready() {
		return ErrNotReady.With("node %s is not ready", h.backend.Name())
	}
	return nil
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

func (h *Handlers) get(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	e, err := h.getOne(ctx, r.bucket, r.body)
	if err != nil {
		return nil, err
	}
	header := nats.Header{
		HeaderNode:   {h.backend.Name()},
		HeaderOrigin: {e.Stamp.Origin.String()},
		HeaderSeq:    {strconv.FormatUint(e.Stamp.Seq, 10)},
		HeaderHLC:    {e.Stamp.HLC.String()},
	}
	if e.Expiry != 0 {
		header.Set(HeaderExpiry, formatMillis(e.Expiry))
	}
	if e.Type != "" {
		header.Set(HeaderType, e.Type)
	}
	return &reply{header: header, body: e.Value}, nil
}

func (h *Handlers) getOne(ctx context.Context, bucket string, key []byte) (oplog.Entry, error) {
	if err := checkKey(key); err != nil {
		return oplog.Entry{}, err
	}
	return h.backend.Get(ctx, bucket, key)
}

func (h *Handlers) put(ctx context.Context, r *request) (*reply, error) {
	rec, create, err := parseRecord(r.body)
	if err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	if rec.Bare && !rec.Deleted || rec.Deleted && r.verb != verbUpdate {
		return nil, ErrBadRequest.With("no value")
	}
	switch {
	case r.verb == verbCreate && rec.If != (Condition{}):
		return nil, ErrBadRequest.With("if_local in a create, which has its own condition")
	case r.verb == verbCreate:
		rec.If = Condition{Absent: true}
	case r.verb == verbUpdate && rec.If.Revision.Seq == 0:
		return nil, ErrBadRequest.With("an update without the revision that it is for, under if_local")
	}
	now := time.Now()
	op := rec.op(now)
	if err := checkEnd(op, now); err != nil {
		return nil, err
	}
	return h.answerWrite(ctx, r, op, WriteOptions{CreateBucket: create})
}

func (h *Handlers) del(ctx context.Context, r *request) (*reply, error) {
	return h.answerWrite(ctx, r, WriteOp{Key: r.body, Delete: true}, WriteOptions{})
}

// deletePrefix deletes a page of keys; its client asks again behind the last one.
func (h *Handlers) deletePrefix(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	if len(r.body) == 0 {
		return nil, ErrBadRequest.With(`want {"prefix":...}; an empty one means all keys`)
	}
	ask, keys, err := parseRange(r.body)
	if err != nil {
		return nil, err
	}
	if keys.Start != nil || keys.End != nil || ask.Reverse || ask.Values || ask.Full {
		return nil, ErrBadRequest.With("keys are deleted by prefix, after and limit alone")
	}
	limit := pageKeys
	if ask.Limit > 0 {
		limit = min(limit, ask.Limit)
	}
	res := DeletedResult{V: 1, Node: h.backend.Name()}
	var last []byte
	if res.Deleted, last, err = h.backend.DeletePrefix(ctx, r.bucket, keys.Prefix, keys.After, limit); err != nil {
		return nil, err
	}
	res.Last, res.LastB64 = splitData(last)
	return &reply{body: mustJSON(res)}, nil
}

func (h *Handlers) answerWrite(ctx context.Context, r *request, op WriteOp, o WriteOptions) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	res, err := h.writeOne(ctx, r.bucket, op, o)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(res)}, nil
}

func (h *Handlers) writeOne(ctx context.Context, bucket string, op WriteOp, o WriteOptions) (PutResult, error) {
	if err := checkOp(op); err != nil {
		return PutResult{}, err
	}
	results, err := h.backend.Write(ctx, bucket, []WriteOp{op}, o)
	if err != nil {
		return PutResult{}, err
	}
	if len(results) != 1 {
		return PutResult{}, ErrInternal.With("%d results for one write", len(results))
	}
	if results[0].Err != nil {
		return PutResult{}, results[0].Err
	}
	return putResult(h.backend.Name(), results[0].Stamp), nil
}

func (h *Handlers) tellStatus(ctx context.Context, _ *request) (*reply, error) {
	return &reply{body: mustJSON(struct {
		V int `json:"v"`
		Status
	}{1, h.backend.Status(ctx)})}, nil
}

// A page is gathered until it is full; its head is known last and sent first.
type page struct {
	body []byte
	keys int
	more bool
}

func (h *Handlers) list(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	ask, keys, err := parseRange(r.body)
	if err != nil {
		return nil, err
	}
	limit := pageKeys
	if ask.Limit > 0 {
		limit = min(limit, ask.Limit)
	}
	// One row more than fits tells whether there is more.
	keys.Limit, keys.KeysOnly, keys.Reverse = limit+1, !ask.Values, ask.Reverse
	rows := h.backend.Scan(ctx, r.bucket, keys)
	p, err := gather(rows, ask, limit)
	if err != nil {
		return nil, err
	}
	body, err := withHead(pageHead{V: 1, Node: h.backend.Name(), More: p.more}, p.body)
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
		if ask.Values || ask.Full {
			rec.Expiry, rec.Type = e.Expiry, e.Type // what is written elsewhere again must not live for ever
		}
		if ask.Full {
			rec.Stamp = e.Stamp
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
