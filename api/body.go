package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"replicator/oplog"
)

// MaxBody is the largest body of a request or a reply, in bytes. It leaves room
// for a value of oplog.MaxValue in base64.
const MaxBody = oplog.MaxBody

// MaxOps is the most records one load, or one batch, takes.
const MaxOps = 65536

// pageBytes is the size of a page of ls, unless one record is larger.
const pageBytes = 256 << 10

// pageKeys is the most records in a page.
const pageKeys = 10000

// A loadHead is the first line of a load.
type loadHead struct {
	V             int  `json:"v"`
	Create        bool `json:"create"`
	SkipUnchanged bool `json:"skip_unchanged"`
}

// A LoadResult tells what became of the records of a load.
type LoadResult struct {
	V         int         `json:"v"`
	Node      string      `json:"node"`
	Written   int         `json:"written"`
	Unchanged int         `json:"unchanged"`
	Errors    []LoadError `json:"errors,omitempty"`
}

// A BatchResult tells which writes an atomic batch became: those from First to
// Last of Origin.
type BatchResult struct {
	V       int    `json:"v"`
	Node    string `json:"node"`
	Written int    `json:"written"`
	Absent  int    `json:"absent,omitempty"` // deletes of keys that were not there
	Origin  string `json:"origin,omitempty"`
	First   uint64 `json:"first,omitempty"`
	Last    uint64 `json:"last,omitempty"`
}

// A DeletedResult tells how many keys of a prefix were deleted; with a last one
// there may be more behind it.
type DeletedResult struct {
	V       int     `json:"v"`
	Node    string  `json:"node"`
	Deleted int     `json:"deleted"`
	Last    *string `json:"last,omitempty"`
	LastB64 *string `json:"last_b64,omitempty"`
}

// A LoadError tells why one record was not written.
type LoadError struct {
	Index int    `json:"index"` // among the records of the load, from 0
	Error *Error `json:"error"`
}

// A PutResult tells which write a put or a delete became.
type PutResult struct {
	V         int       `json:"v"`
	Node      string    `json:"node"`
	Origin    string    `json:"origin"`
	Seq       uint64    `json:"seq"`
	HLC       oplog.HLC `json:"hlc"`
	Timestamp string    `json:"timestamp"`
}

func putResult(node string, s oplog.Stamp) PutResult {
	return PutResult{
		V: 1, Node: node, Origin: s.Origin.String(), Seq: s.Seq, HLC: s.HLC,
		Timestamp: formatMillis(s.HLC.Millis()),
	}
}

// A rangeBody asks for a range of keys: the request of ls and of watch. Renew
// and Stop speak of a stream that runs.
type rangeBody struct {
	V         int     `json:"v,omitempty"`
	Prefix    *string `json:"prefix,omitempty"`
	PrefixB64 *string `json:"prefix_b64,omitempty"`
	After     *string `json:"after,omitempty"`
	AfterB64  *string `json:"after_b64,omitempty"`
	Start     *string `json:"start,omitempty"`
	StartB64  *string `json:"start_b64,omitempty"`
	End       *string `json:"end,omitempty"`
	EndB64    *string `json:"end_b64,omitempty"`
	Reverse   bool    `json:"reverse,omitempty"`
	Limit     int     `json:"limit,omitempty"`
	Values    bool    `json:"values,omitempty"`
	Full      bool    `json:"full,omitempty"`
	Renew     string  `json:"renew,omitempty"`
	Number    uint64  `json:"number,omitempty"`
	Stop      string  `json:"stop,omitempty"`

	// Of a watch alone.
	FromStart bool   `json:"from_start,omitempty"`
	Resume    string `json:"resume,omitempty"`
	Marks     bool   `json:"marks,omitempty"`
	PutsOnly  bool   `json:"puts_only,omitempty"`
	MetaOnly  bool   `json:"meta_only,omitempty"`
}

// parseRange reads a rangeBody and its bounds; no body asks for everything.
func parseRange(body []byte) (b rangeBody, keys ScanOptions, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return b, keys, nil
	}
	if err := strictJSON(body, &b); err != nil {
		return b, keys, ErrBadRequest.With("%s", err)
	}
	for _, bound := range []struct {
		name      string
		text, b64 *string
		into      *[]byte
	}{
		{"prefix", b.Prefix, b.PrefixB64, &keys.Prefix},
		{"after", b.After, b.AfterB64, &keys.After},
		{"start", b.Start, b.StartB64, &keys.Start},
		{"end", b.End, b.EndB64, &keys.End},
	} {
		if bound.text == nil && bound.b64 == nil {
			continue
		}
		if *bound.into, err = eitherData(bound.name, bound.text, bound.b64); err != nil {
			return b, keys, ErrBadRequest.With("%s", err)
		}
		if len(*bound.into) > oplog.MaxKey {
			return b, keys, ErrBadRequest.With("%s is longer than a key", bound.name)
		}
	}
	if b.Limit < 0 {
		return b, keys, ErrBadRequest.With("a negative limit")
	}
	return b, keys, nil
}

// setRange fills in what is asked for.
func (b *rangeBody) setRange(keys ScanOptions) {
	b.Prefix, b.PrefixB64 = splitData(keys.Prefix)
	b.After, b.AfterB64 = splitData(keys.After)
	b.Start, b.StartB64 = splitData(keys.Start)
	b.End, b.EndB64 = splitData(keys.End)
	b.Reverse = keys.Reverse
}

func splitData(data []byte) (text, b64 *string) {
	if len(data) == 0 {
		return nil, nil
	}
	if readable(data) {
		s := string(data)
		return &s, nil
	}
	j, _ := json.Marshal(data) // a []byte always marshals, to base64
	s := string(j[1 : len(j)-1])
	return nil, &s
}

// A pageHead is the first line of a page.
type pageHead struct {
	V    int    `json:"v"`
	Node string `json:"node"`
	More bool   `json:"more"`
}

type verifyBody struct {
	V int `json:"v"`
	NodeDigests
}

// NodeDigests are the digests of one node.
type NodeDigests struct {
	Node    string         `json:"node"`
	Joins   []string       `json:"joins,omitempty"` // as in Status
	Left    []string       `json:"left,omitempty"`  // likewise
	Buckets []BucketDigest `json:"buckets"`
}

// lines yields the lines of body that are not empty.
func lines(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// headLine splits the first line off and reads it into head.
func headLine(body []byte, head any) (rest []byte, err error) {
	line, rest, _ := bytes.Cut(body, []byte{'\n'})
	if err := json.Unmarshal(line, head); err != nil {
		return nil, fmt.Errorf("first line of a reply: %w", err)
	}
	return rest, nil
}

// withHead puts head as a line before lines, each of which ends itself.
func withHead(head any, lines []byte) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return append(append(line, '\n'), lines...), nil
}

func checkKey(key []byte) error {
	switch {
	case len(key) == 0:
		return ErrBadKey.With("the key is empty")
	case len(key) > oplog.MaxKey:
		return ErrTooLarge.With("the key has %d bytes, the limit is %d", len(key), oplog.MaxKey)
	}
	return nil
}

// checkEnd refuses what would be gone at once. A load takes it: what was exported
// may have ended since.
func checkEnd(op WriteOp, now time.Time) error {
	if op.Expiry != 0 && op.Expiry <= now.UnixMilli() {
		return ErrBadRequest.With("the expiry %s is past; a delete deletes", formatMillis(op.Expiry))
	}
	return nil
}

func checkOp(op WriteOp) error {
	if err := checkKey(op.Key); err != nil {
		return err
	}
	if len(op.Value) > oplog.MaxValue {
		return ErrTooLarge.With("the value has %d bytes, the limit is %d", len(op.Value), oplog.MaxValue)
	}
	if err := oplog.CheckType(op.Type); err != nil {
		return ErrBadRequest.With("%s", err)
	}
	return nil
}
