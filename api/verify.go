package api

import (
	"context"
	"encoding/json"

	"replicator/bus"
	"replicator/oplog"
)

// VerifyOptions say what a Verify does and tells beside the digests. The zero
// value is the digests alone.
type VerifyOptions struct {
	// Deep has all rows read and compared with their hashes. It does not wait for
	// that: BucketDigest.Scrub tells when it is done.
	Deep bool
	// Repair does so, too, and fetches from the peers what is bad or diverges.
	Repair bool
	// Sums tells the sums of the row hashes by part of the key space.
	Sums bool
	// Parts tells the rows in these parts, without values, at most MaxRowDigests.
	Parts []int
}

// MaxRowDigests is the most rows one Verify tells of in a bucket.
const MaxRowDigests = 10_000

// A verifyAsk is the body of a request to verify; an empty one asks for digests.
type verifyAsk struct {
	V      int   `json:"v"`
	Deep   bool  `json:"deep,omitempty"`
	Repair bool  `json:"repair,omitempty"`
	Sums   bool  `json:"sums,omitempty"`
	Parts  []int `json:"parts,omitempty"`
}

func parseVerify(body []byte) (VerifyOptions, error) {
	if len(body) == 0 {
		return VerifyOptions{}, nil
	}
	var ask verifyAsk
	if err := json.Unmarshal(body, &ask); err != nil {
		return VerifyOptions{}, ErrBadRequest.With("%s", err)
	}
	if len(ask.Parts) > oplog.HashParts {
		return VerifyOptions{}, ErrBadRequest.With("%d parts, there are %d", len(ask.Parts), oplog.HashParts)
	}
	for _, n := range ask.Parts {
		if n < 0 || n >= oplog.HashParts {
			return VerifyOptions{}, ErrBadRequest.With("no part %d", n)
		}
	}
	return VerifyOptions{Deep: ask.Deep, Repair: ask.Repair, Sums: ask.Sums, Parts: ask.Parts}, nil
}

// A RowDigest tells of a row without its value.
type RowDigest struct {
	Key     *string `json:"key,omitempty"`
	KeyB64  *string `json:"key_b64,omitempty"`
	ID      string  `json:"id"` // of the write, as put prints it
	HLC     string  `json:"hlc"`
	Hash    string  `json:"hash"` // of its contents
	Deleted bool    `json:"deleted,omitempty"`
}

// NewRowDigest describes a row.
func NewRowDigest(e *oplog.Entry) RowDigest {
	d := RowDigest{ID: e.Dot().String(), HLC: e.Stamp.HLC.String(), Hash: Hex(e.Hash()), Deleted: e.Tombstone}
	d.Key, d.KeyB64 = splitData(e.Key)
	return d
}

// A ScrubStatus tells of the last time that all rows of a bucket were read and
// compared with their hashes.
type ScrubStatus struct {
	Begun uint64 `json:"begun"` // how many were begun since the start of the node
	Ended uint64 `json:"ended"` // the number of the last that was read to the end; the rest is about it
	Last  string `json:"last"`  // when that was; empty: never since the start
	Rows  uint64 `json:"rows"`
	Bad   uint64 `json:"bad"`   // rows that were not what was written
	Fixed uint64 `json:"fixed"` // sums and counts that were not those of the rows
	Error string `json:"error,omitempty"`
}

// Verify asks one node for its digest of a bucket, or of all where it is empty.
func (c *Client) Verify(ctx context.Context, node, bucket string, o VerifyOptions) (NodeDigests, error) {
	if bucket == "" {
		bucket = bus.Fleet
	} else if err := bus.ValidBucket(bucket); err != nil {
		return NodeDigests{}, ErrBadBucket.With("%s", err)
	}
	var v verifyBody
	ask := mustJSON(verifyAsk{V: 1, Deep: o.Deep, Repair: o.Repair, Sums: o.Sums, Parts: o.Parts})
	m, err := c.call(ctx, bucket, node, verbVerify, ask)
	if err != nil {
		return v.NodeDigests, c.named(node, err)
	}
	return v.NodeDigests, readReply(verbVerify, m.body, &v)
}

func (h *Handlers) verify(ctx context.Context, r *request) (*reply, error) {
	bucket, err := scope(r)
	if err != nil {
		return nil, err
	}
	o, err := parseVerify(r.body)
	if err != nil {
		return nil, err
	}
	digests, err := h.backend.Verify(ctx, bucket, o)
	if err != nil {
		return nil, err
	}
	st := h.backend.Status(ctx)
	return &reply{body: mustJSON(verifyBody{V: 1, NodeDigests: NodeDigests{
		Node: h.backend.Name(), Joins: st.Joins, Left: st.Left, Buckets: digests,
	}})}, nil
}
