package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"time"

	"replicator/bus"
	"replicator/oplog"
)

// Get returns the value of a key, with its stamp and the node that told.
func (c *Client) Get(ctx context.Context, bucket string, key []byte) (Record, error) {
	m, err := c.userAsk(ctx, bucket, verbGet, key)
	if err != nil {
		return Record{}, err
	}
	r := Record{Key: bytes.Clone(key), Value: m.body, Node: m.header.Get(HeaderNode)}
	origin, err := oplog.ParseOrigin(m.header.Get(HeaderOrigin))
	if err != nil {
		return Record{}, fmt.Errorf("get: reply of %q: %w", r.Node, err)
	}
	seq, _ := strconv.ParseUint(m.header.Get(HeaderSeq), 10, 64)
	hlc, _ := oplog.ParseHLC(m.header.Get(HeaderHLC))
	r.Stamp = oplog.Stamp{HLC: hlc, Origin: origin, Seq: seq}
	if t, err := time.Parse(time.RFC3339, m.header.Get(HeaderExpiry)); err == nil {
		r.Expiry = t.UnixMilli()
	}
	r.Type = m.header.Get(HeaderType)
	if err := oplog.CheckType(r.Type); err != nil {
		return Record{}, fmt.Errorf("get: reply of %q: %w", r.Node, err)
	}
	return r, nil
}

// userAsk is ask for a bucket of a user.
func (c *Client) userAsk(ctx context.Context, bucket, verb string, body []byte) (msg, error) {
	if err := bus.ValidBucket(bucket); err != nil {
		return msg{}, ErrBadBucket.With("%s", err)
	}
	return c.ask(ctx, bucket, verb, body)
}

// PutOptions tune a Put. The zero value writes to a bucket that exists.
type PutOptions struct {
	// Create makes a bucket that nobody has.
	Create bool
	// TTL is how long the row lives once a node takes it; 0: for ever.
	TTL time.Duration
	// Expiry is the same as a moment, in milliseconds since 1970. Not both.
	Expiry int64
	// Type says what the value is, as application/json: at most 255 bytes of printable
	// ASCII. Empty: not said.
	Type string
	// If is a condition on the row at the node that takes the write. ErrExists or
	// ErrRevision if it does not hold.
	If Condition
}

// Put writes a value and returns which write that was.
func (c *Client) Put(ctx context.Context, bucket string, key, value []byte, o PutOptions) (PutResult, error) {
	if err := checkOp(WriteOp{Key: key, Value: value, Type: o.Type}); err != nil {
		return PutResult{}, err
	}
	if o.TTL < 0 || o.TTL > 0 && o.Expiry != 0 {
		return PutResult{}, ErrBadRequest.With("a TTL below 0, or one and an expiry")
	}
	verb := verbPut
	rec := Record{Key: key, Value: value, TTL: o.TTL, Expiry: o.Expiry, Type: o.Type, If: o.If}
	switch {
	case o.If.Absent:
		verb, rec.If = verbCreate, Condition{}
	case o.If != (Condition{}):
		verb = verbUpdate
	}
	body := rec.AppendJSON(nil)
	if o.Create {
		body = append(body[:len(body)-1], `,"create":true}`...)
	}
	return c.write(ctx, bucket, verb, body)
}

// Delete deletes a key and returns which write that was.
func (c *Client) Delete(ctx context.Context, bucket string, key []byte) (PutResult, error) {
	if err := checkKey(key); err != nil {
		return PutResult{}, err
	}
	return c.write(ctx, bucket, verbDel, key)
}

// DeleteLocal deletes a key if its row at the node is still that revision. Else it
// returns ErrRevision.
func (c *Client) DeleteLocal(ctx context.Context, bucket string, key []byte, revision oplog.Dot) (PutResult, error) {
	if err := checkKey(key); err != nil {
		return PutResult{}, err
	}
	rec := Record{Key: key, Bare: true, Deleted: true, If: Condition{Revision: revision}}
	return c.write(ctx, bucket, verbUpdate, rec.AppendJSON(nil))
}

// DeletePrefix deletes all keys that begin so, and returns how many. After an
// error those before it are deleted.
func (c *Client) DeletePrefix(ctx context.Context, bucket string, prefix []byte) (deleted int, err error) {
	for after := []byte(nil); ; {
		var ask rangeBody
		ask.setRange(ScanOptions{Prefix: prefix, After: after})
		m, err := c.userAsk(ctx, bucket, verbDelAll, mustJSON(ask))
		if err != nil {
			return deleted, err
		}
		var res DeletedResult
		if err := readReply(verbDelAll, m.body, &res); err != nil {
			return deleted, err
		}
		if deleted += res.Deleted; res.Last == nil && res.LastB64 == nil {
			return deleted, nil
		}
		if after, err = eitherData("last", res.Last, res.LastB64); err != nil {
			return deleted, fmt.Errorf("reply to %s: %w", verbDelAll, err)
		}
	}
}

func (c *Client) write(ctx context.Context, bucket, verb string, body []byte) (PutResult, error) {
	var res PutResult
	m, err := c.userAsk(ctx, bucket, verb, body)
	if err != nil {
		return res, err
	}
	return res, readReply(verb, m.body, &res)
}

func readReply(verb string, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reply to %s: %w", verb, err)
	}
	return nil
}

// LoadOptions tune a Load. The zero value writes every record.
type LoadOptions struct {
	// Create makes a bucket that nobody has.
	Create bool
	// SkipUnchanged leaves keys alone that have the very value, type and end already.
	SkipUnchanged bool
}

// Load writes many records, each as a write of its own. Lines are records as
// AppendJSON writes them, one a line: build them with Record.AppendJSON. More
// than MaxOps, or MaxBody bytes, are refused.
func (c *Client) Load(ctx context.Context, bucket string, lines []byte, o LoadOptions) (LoadResult, error) {
	var res LoadResult
	body, err := withHead(loadHead{V: 1, Create: o.Create, SkipUnchanged: o.SkipUnchanged}, lines)
	if err != nil {
		return res, err
	}
	m, err := c.userAsk(ctx, bucket, verbLoad, body)
	if err != nil {
		return res, err
	}
	return res, readReply(verbLoad, m.body, &res)
}

// Batch writes many records all or not at all, as one. Lines are as in Load;
// one that is refused refuses all.
func (c *Client) Batch(ctx context.Context, bucket string, lines []byte, o PutOptions) (BatchResult, error) {
	var res BatchResult
	body, err := withHead(loadHead{V: 1, Create: o.Create}, lines)
	if err != nil {
		return res, err
	}
	m, err := c.userAsk(ctx, bucket, verbBatch, body)
	if err != nil {
		return res, err
	}
	return res, readReply(verbBatch, m.body, &res)
}

// ListOptions say what a List yields. The zero value is every key.
type ListOptions struct {
	Prefix     []byte // only keys that begin so
	Start, End []byte // only keys from Start up to, but without, End; nil is open
	After      []byte // only keys behind this one, in the direction of the list
	Limit      int    // at most so many; 0: all
	Reverse    bool   // from the last key to the first
	Values     bool   // with values, and when they expire
	Full       bool   // with stamps
}

// List yields the keys of a bucket in order, page by page: each page shows one
// moment, all pages together do not.
func (c *Client) List(ctx context.Context, bucket string, o ListOptions) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if o.Limit < 0 {
			yield(Record{}, ErrBadRequest.With("a negative limit"))
			return
		}
		for left := o.Limit; ; {
			records, more, err := c.page(ctx, bucket, o, left)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
				o.After = r.Key
			}
			if !more || len(records) == 0 {
				return
			}
		}
	}
}

func (c *Client) page(ctx context.Context, bucket string, o ListOptions, limit int) ([]Record, bool, error) {
	ask := rangeBody{V: 1, Values: o.Values, Full: o.Full, Limit: max(limit, 0)}
	ask.setRange(ScanOptions{Prefix: o.Prefix, Start: o.Start, End: o.End, After: o.After, Reverse: o.Reverse})
	m, err := c.userAsk(ctx, bucket, verbLs, mustJSON(ask))
	if err != nil {
		return nil, false, err
	}
	var head pageHead
	rest, err := headLine(m.body, &head)
	if err != nil {
		return nil, false, err
	}
	var records []Record
	for line := range lines(rest) {
		r, err := ParseRecord(line)
		if err != nil {
			return nil, false, fmt.Errorf("reply to ls: %w", err)
		}
		r.Node = head.Node
		records = append(records, r)
	}
	return records, head.More, nil
}

// Status asks the client's node how it stands.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	m, err := c.ask(ctx, bus.Fleet, verbStatus, nil)
	if err != nil {
		return st, err
	}
	return st, readReply(verbStatus, m.body, &st)
}

// StatusOf asks one node how it stands.
func (c *Client) StatusOf(ctx context.Context, node string) (Status, error) {
	var st Status
	m, err := c.call(ctx, bus.Fleet, node, verbStatus, nil)
	if err != nil {
		return st, c.named(node, err)
	}
	return st, readReply(verbStatus, m.body, &st)
}
