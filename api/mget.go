package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// A manyHead is the first line of a reply to mget: of how many keys, from the
// first on, the records that follow tell. Those without a record have no row.
type manyHead struct {
	V     int    `json:"v"`
	Node  string `json:"node"`
	Asked int    `json:"asked"`
}

// getMany answers for the keys of a request, one a line, as many as fit a page.
func (h *Handlers) getMany(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	head := manyHead{V: 1, Node: h.backend.Name()}
	var found []byte
	for line := range lines(r.body) {
		if head.Asked >= MaxOps {
			return nil, ErrTooLarge.With("more than %d keys in one request", MaxOps)
		}
		rec, err := ParseRecord(line)
		if err != nil {
			return nil, ErrBadRequest.With("key %d: %s", head.Asked, err)
		}
		if err := checkKey(rec.Key); err != nil {
			return nil, err
		}
		if len(found) > pageBytes {
			break
		}
		e, err := h.backend.Get(ctx, r.bucket, rec.Key)
		head.Asked++
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		row := RecordOf(&e)
		row.Key = rec.Key
		found = append(row.AppendJSON(found), '\n')
	}
	body, err := withHead(head, found)
	return &reply{body: body}, err
}

// GetMany returns the rows of the keys that have one, in the order of keys. Each
// is as it was at a moment of its own.
func (c *Client) GetMany(ctx context.Context, bucket string, keys ...[]byte) ([]Record, error) {
	var found []Record
	for len(keys) > 0 {
		var body []byte
		for _, key := range keys[:min(len(keys), MaxOps)] {
			if body = append((&Record{Key: key, Bare: true}).AppendJSON(body), '\n'); len(body) > pageBytes {
				break
			}
		}
		m, err := c.userAsk(ctx, bucket, verbMGet, body)
		if err != nil {
			return found, err
		}
		var head manyHead
		rest, err := headLine(m.body, &head)
		if err != nil {
			return found, err
		}
		if head.Asked <= 0 || head.Asked > bytes.Count(body, []byte{'\n'}) {
			return found, fmt.Errorf("reply to %s: for %d keys", verbMGet, head.Asked)
		}
		for line := range lines(rest) {
			r, err := ParseRecord(line)
			if err != nil {
				return found, fmt.Errorf("reply to %s: %w", verbMGet, err)
			}
			r.Node = head.Node
			found = append(found, r)
		}
		keys = keys[head.Asked:]
	}
	return found, nil
}
