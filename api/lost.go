package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"replicator/bus"
	"replicator/oplog"
)

// A Lost is a write that lost a conflict, as the node that wrote it keeps it.
type Lost struct {
	Entry  oplog.Entry
	At     time.Time   // when its node learned of the winner
	Winner oplog.Stamp // the write that beat it
	Node   string      // the node that told
	// Removed tells that a reconcile took the row away. Its node keeps it, whoever
	// wrote it. Winner is what came in its place, or the write itself.
	Removed bool
	Parked  bool // the node wrote a delete in its place, and keeps it, whoever wrote it
	Size    int  // bytes of the value, which a list leaves out
}

// A lostBody is a Lost on one line of JSON.
type lostBody struct {
	ID        string  `json:"id"`
	Key       *string `json:"key,omitempty"`
	KeyB64    *string `json:"key_b64,omitempty"`
	Value     *string `json:"value,omitempty"`
	ValueB64  *string `json:"value_b64,omitempty"`
	Type      string  `json:"type,omitempty"`
	Deleted   bool    `json:"deleted,omitempty"`
	Size      int     `json:"size"`
	HLC       string  `json:"hlc"`
	Timestamp string  `json:"timestamp"`
	LostAt    string  `json:"lost_at"`
	Winner    string  `json:"winner"`
	WinnerHLC string  `json:"winner_hlc"`
	WonWith   string  `json:"winner_timestamp"`
	Node      string  `json:"node,omitempty"`
	Removed   bool    `json:"removed,omitempty"`
	Parked    bool    `json:"parked,omitempty"`
}

// AppendJSON appends the lost write as one object, without the end of the line;
// values says whether its value is told.
func (l *Lost) AppendJSON(b []byte, values bool) []byte {
	e := &l.Entry
	body := lostBody{
		ID: e.Dot().String(), Type: e.Type, Deleted: e.Tombstone, Size: max(l.Size, len(e.Value)),
		HLC: e.Stamp.HLC.String(), Timestamp: formatMillis(e.Stamp.HLC.Millis()), LostAt: formatMillis(l.At.UnixMilli()),
		Winner:    oplog.Dot{Origin: l.Winner.Origin, Seq: l.Winner.Seq}.String(),
		WinnerHLC: l.Winner.HLC.String(), WonWith: formatMillis(l.Winner.HLC.Millis()), Node: l.Node,
		Removed: l.Removed, Parked: l.Parked,
	}
	body.Key, body.KeyB64 = splitData(e.Key)
	if values && !e.Tombstone {
		if body.Value, body.ValueB64 = splitData(e.Value); len(e.Value) == 0 {
			body.Value = new("")
		}
	}
	return append(b, mustJSON(body)...)
}

// parseLost reads what AppendJSON wrote.
func parseLost(line []byte) (Lost, error) {
	var body lostBody
	if err := json.Unmarshal(line, &body); err != nil {
		return Lost{}, fmt.Errorf("lost write: %w", err)
	}
	l := Lost{Node: body.Node, Size: body.Size, Removed: body.Removed, Parked: body.Parked}
	dot, err := oplog.ParseDot(body.ID)
	if err != nil {
		return l, err
	}
	winner, err := oplog.ParseDot(body.Winner)
	if err != nil {
		return l, err
	}
	hlc, _ := oplog.ParseHLC(body.HLC)
	won, _ := oplog.ParseHLC(body.WinnerHLC)
	l.Entry.Stamp = oplog.Stamp{HLC: hlc, Origin: dot.Origin, Seq: dot.Seq}
	l.Winner = oplog.Stamp{HLC: won, Origin: winner.Origin, Seq: winner.Seq}
	l.Entry.Tombstone, l.Entry.Type = body.Deleted, body.Type
	if l.At, err = time.Parse(timeLayout, body.LostAt); err != nil {
		return l, fmt.Errorf("lost write: %w", err)
	}
	if l.Entry.Key, err = eitherData("key", body.Key, body.KeyB64); err != nil {
		return l, err
	}
	if body.Value != nil || body.ValueB64 != nil {
		l.Entry.Value, err = eitherData("value", body.Value, body.ValueB64)
	}
	return l, err
}

// conflicts lists the node's lost writes of a bucket, or tells the whole of the
// one that the request names.
func (h *Handlers) conflicts(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	id := string(r.body)
	if id != "" {
		if _, err := oplog.ParseDot(id); err != nil {
			return nil, ErrBadRequest.With("%s", err)
		}
	}
	var body []byte
	for l, err := range h.backend.Conflicts(ctx, r.bucket) {
		if err != nil {
			return nil, err
		}
		if id == "" || id == l.Entry.Dot().String() {
			body = append(l.AppendJSON(body, id != ""), '\n')
		}
	}
	if id != "" && body == nil {
		return nil, ErrNotFound.With("node %s keeps no lost write %s", h.backend.Name(), id)
	}
	body, err := withHead(pageHead{V: 1, Node: h.backend.Name()}, body)
	return &reply{body: body}, err
}

// takeConflict makes a lost write the newest of its key again.
func (h *Handlers) takeConflict(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	dot, err := oplog.ParseDot(string(r.body))
	if err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	stamp, err := h.backend.TakeConflict(ctx, r.bucket, dot)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(putResult(h.backend.Name(), stamp))}, nil
}

// Conflicts yields the writes of a node, of all nodes that answer where it is
// empty, that lost a conflict in the bucket, without their values.
func (c *Client) Conflicts(ctx context.Context, node, bucket string) iter.Seq2[Lost, error] {
	return func(yield func(Lost, error) bool) {
		names, err := c.NamesOf(ctx, node)
		if err != nil {
			yield(Lost{}, err)
			return
		}
		var absent error // until some node holds the bucket
		held := false
		for _, name := range names {
			list, err := c.lostOf(ctx, name, bucket, "")
			if node == "" && isNoBucket(err) {
				absent = err
				continue
			}
			if err != nil {
				yield(Lost{}, err)
				return
			}
			held = true
			for _, l := range list {
				if !yield(l, nil) {
					return
				}
			}
		}
		if !held {
			yield(Lost{}, absent)
		}
	}
}

func isNoBucket(err error) bool { return AsError(err).Is(ErrNoBucket) }

// NamesOf returns node or, where it is empty, the names of all nodes that answer.
// A *NoNodeError if none does.
func (c *Client) NamesOf(ctx context.Context, node string) ([]string, error) {
	if node != "" {
		return []string{node}, nil
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Node)
	}
	if len(names) == 0 {
		return nil, &NoNodeError{Prefix: c.opts.Prefix}
	}
	return names, nil
}

// Conflict returns one lost write with its value. The node is asked that keeps it:
// if it is empty, the writer's, which the dot names.
func (c *Client) Conflict(ctx context.Context, node, bucket string, dot oplog.Dot) (Lost, error) {
	list, err := c.lostOf(ctx, cmp.Or(node, dot.Origin.Node), bucket, dot.String())
	if err != nil || len(list) == 0 {
		return Lost{}, err
	}
	return list[0], nil
}

// TakeConflict has the node that keeps a lost write, as for Conflict, make it the
// newest of its key again.
func (c *Client) TakeConflict(ctx context.Context, node, bucket string, dot oplog.Dot) (PutResult, error) {
	var res PutResult
	node = cmp.Or(node, dot.Origin.Node)
	if err := bus.ValidBucket(bucket); err != nil {
		return res, ErrBadBucket.With("%s", err)
	}
	m, err := c.call(ctx, bucket, node, verbTake, []byte(dot.String()))
	if err != nil {
		return res, c.named(node, err)
	}
	return res, readReply(verbTake, m.body, &res)
}

func (c *Client) lostOf(ctx context.Context, node, bucket, id string) ([]Lost, error) {
	if err := bus.ValidBucket(bucket); err != nil {
		return nil, ErrBadBucket.With("%s", err)
	}
	m, err := c.call(ctx, bucket, node, verbConflicts, []byte(id))
	if err != nil {
		return nil, c.named(node, err)
	}
	var head pageHead
	rest, err := headLine(m.body, &head)
	if err != nil {
		return nil, err
	}
	var list []Lost
	for line := range lines(rest) {
		l, err := parseLost(line)
		if err != nil {
			return nil, err
		}
		l.Node = head.Node
		list = append(list, l)
	}
	return list, nil
}
