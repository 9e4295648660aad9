package api

import (
	"bytes"
	"context"
	"encoding/json"
	"time"
)

// load takes many records in one request. A record that is refused leaves the
// others alone and is named in the reply; a body that is not what it should be
// writes nothing.
func (h *Handlers) load(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	l, err := parseLoad(r.body)
	if err != nil {
		return nil, err
	}
	res := LoadResult{V: 1, Node: h.backend.Name(), Errors: l.refused}
	if len(l.ops) > 0 {
		o := WriteOptions{CreateBucket: l.head.Create, SkipUnchanged: l.head.SkipUnchanged}
		results, err := h.backend.Write(ctx, r.bucket, l.ops, o)
		if err != nil {
			return nil, err
		}
		if len(results) != len(l.ops) {
			return nil, ErrInternal.With("%d results for %d writes", len(results), len(l.ops))
		}
		res.count(results, l.index)
	}
	return &reply{body: mustJSON(res)}, nil
}

func (res *LoadResult) count(results []WriteResult, index []int) {
	for i, w := range results {
		switch {
		case w.Err != nil:
			res.Errors = append(res.Errors, LoadError{Index: index[i], Error: w.Err})
		case w.Unchanged:
			res.Unchanged++
		default:
			res.Written++
		}
	}
}

// A loading is a parsed load: the operations, which record each came from, and
// the records that cannot be written.
type loading struct {
	now     time.Time // from which a ttl counts
	head    loadHead
	ops     []WriteOp
	index   []int
	refused []LoadError
}

func parseLoad(body []byte) (*loading, error) {
	l := &loading{now: time.Now()}
	body = l.takeHead(body)
	n, now := 0, l.now
	for line := range lines(body) {
		if n >= MaxOps {
			return nil, ErrTooLarge.With("more than %d records in one load", MaxOps)
		}
		rec, err := ParseRecord(line)
		if err != nil {
			return nil, ErrBadRequest.With("record %d: %s", n, err)
		}
		if rec.Bare && !rec.Deleted {
			return nil, ErrBadRequest.With("record %d: no value", n)
		}
		l.add(n, rec.op(now))
		n++
	}
	return l, nil
}

// takeHead reads the first line if it is a head, which a record never is: it
// has "v" and no key.
func (l *loading) takeHead(body []byte) []byte {
	line, rest, _ := bytes.Cut(body, []byte{'\n'})
	if len(line) > 256 {
		return body
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(&l.head) != nil || l.head.V == 0 {
		l.head = loadHead{}
		return body
	}
	return rest
}

func (l *loading) add(i int, op WriteOp) {
	if err := checkOp(op); err != nil {
		l.refused = append(l.refused, LoadError{Index: i, Error: AsError(err)})
		return
	}
	l.ops = append(l.ops, op)
	l.index = append(l.index, i)
}
