package api

import (
	"context"
	"errors"
)

// batch writes the records of a request all or not at all, as one. Its body is
// that of a load.
func (h *Handlers) batch(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	res, err := h.writeBatch(ctx, r.bucket, r.body)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(res)}, nil
}

// Batch writes the records of body, one a line, as one. Its error is an *Error.
func (h *Handlers) Batch(ctx context.Context, bucket string, body []byte) (BatchResult, error) {
	if err := h.begin(ctx, bucket, ""); err != nil {
		return BatchResult{}, AsError(err)
	}
	res, err := h.writeBatch(ctx, bucket, body)
	if err != nil {
		return res, AsError(err)
	}
	return res, nil
}

func (h *Handlers) writeBatch(ctx context.Context, bucket string, body []byte) (BatchResult, error) {
	res := BatchResult{V: 1, Node: h.backend.Name()}
	l, err := parseLoad(body)
	if err != nil {
		return res, err
	}
	if l.head.SkipUnchanged {
		return res, ErrBadRequest.With("a batch writes every record: skip_unchanged is for a load")
	}
	if len(l.refused) > 0 {
		e := l.refused[0]
		return res, e.Error.With("record %d: %s; nothing was written", e.Index, e.Error.Text)
	}
	for i := range l.ops {
		if err := checkEnd(l.ops[i], l.now); err != nil {
			return res, AsError(err).With("record %d: %s; nothing was written", l.index[i], err)
		}
	}
	if len(l.ops) > 0 {
		results, err := h.backend.Write(ctx, bucket, l.ops, WriteOptions{CreateBucket: l.head.Create, Atomic: true})
		if err != nil {
			return res, err
		}
		if err := res.count(results, len(l.ops)); err != nil {
			return res, err
		}
	}
	return res, nil
}

// count sums up what became of the records: they are of one origin, one after
// the other, but for those that deleted nothing.
func (res *BatchResult) count(results []WriteResult, want int) error {
	if len(results) != want {
		return ErrInternal.With("%d results for %d writes", len(results), want)
	}
	for _, w := range results {
		switch {
		case w.Err != nil && errors.Is(w.Err, ErrNotFound):
			res.Absent++
		case w.Err != nil:
			return w.Err
		default:
			if res.Written == 0 {
				res.Origin, res.First = w.Stamp.Origin.String(), w.Stamp.Seq
			}
			res.Last = w.Stamp.Seq
			res.Written++
		}
	}
	return nil
}
