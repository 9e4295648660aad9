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
}

// Put writes a value and returns which write that was.
func (c *Client) Put(ctx context.Context, bucket string, key, value []byte, o PutOptions) (PutResult, error) {
	if err := checkOp(WriteOp{Key: key, Value: value}); err != nil {
		return PutResult{}, err
	}
	body := (&Record{Key: key, Value: value}).AppendJSON(nil)
	if o.Create {
		body = append(body[:len(body)-1], `,"create":true}`...)
	}
	return c.write(ctx, bucket, verbPut, body)
}

// Delete deletes a key and returns which write that was.
func (c *Client) Delete(ctx context.Context, bucket string, key []byte) (PutResult, error) {
	if err := checkKey(key); err != nil {
		return PutResult{}, err
	}
	return c.write(ctx, bucket, verbDel, key)
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
	// SkipUnchanged leaves keys alone that have the very value already.
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
	Prefix []byte // only keys that begin so
	After  []byte // only keys behind this one
	Values bool   // with values
	Full   bool   // with stamps and expiries
}

// List yields the keys of a bucket in order, page by page: each page shows one
// moment, all pages together do not.
func (c *Client) List(ctx context.Context, bucket string, o ListOptions) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		after := o.After
		for {
			records, more, err := c.page(ctx, bucket, o, after)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
				after = r.Key
			}
			if !more || len(records) == 0 {
				return
			}
		}
	}
}

func (c *Client) page(ctx context.Context, bucket string, o ListOptions, after []byte) ([]Record, bool, error) {
	ask := rangeBody{V: 1, Values: o.Values, Full: o.Full}
	ask.setRange(o.Prefix, after)
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
