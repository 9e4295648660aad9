package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/bus"
	"replicator/oplog"
)

// HeaderAfter holds tokens, the revisions of writes with commas between them: a
// request for get, mget, ls or watch is answered once the node has seen those.
const HeaderAfter = "Replicator-After"

// maxTokens bounds how many tokens one request brings.
const maxTokens = 64

type afterKey struct{}

// After returns a context whose reads wait until their node has seen the writes:
// PutResult.Token names them. ErrBehind if that is not so by the deadline.
func After(ctx context.Context, tokens ...oplog.Dot) context.Context {
	return context.WithValue(ctx, afterKey{}, tokens)
}

// setAfter tells a request's tokens in its header.
func setAfter(ctx context.Context, h nats.Header) {
	if tokens, ok := ctx.Value(afterKey{}).([]oplog.Dot); ok && len(tokens) > 0 {
		h.Set(HeaderAfter, joinTokens(tokens))
	}
}

func joinTokens(tokens []oplog.Dot) string {
	list := make([]string, len(tokens))
	for i, t := range tokens {
		list[i] = t.String()
	}
	return strings.Join(list, ",")
}

// ParseTokens reads tokens with commas between them.
func ParseTokens(text string) ([]oplog.Dot, error) {
	var tokens []oplog.Dot
	for part := range strings.SplitSeq(text, ",") {
		dot, err := oplog.ParseDot(strings.TrimSpace(part))
		if err != nil || dot.Seq == 0 {
			return nil, fmt.Errorf("token %q: want the revision of a write, node/16 hex digits:number", clip(part))
		}
		if tokens = append(tokens, dot); len(tokens) > maxTokens {
			return nil, fmt.Errorf("more than %d tokens", maxTokens)
		}
	}
	return tokens, nil
}

// Token names the write for After and Reached.
func (r PutResult) Token() (oplog.Dot, error) {
	o, err := oplog.ParseOrigin(r.Origin)
	return oplog.Dot{Origin: o, Seq: r.Seq}, err
}

// Token names the last write of the batch, and so all of it.
func (r BatchResult) Token() (oplog.Dot, error) {
	o, err := oplog.ParseOrigin(r.Origin)
	return oplog.Dot{Origin: o, Seq: r.Last}, err
}

// after has a read wait for the tokens that came with it.
func (h *Handlers) after(read handler) handler {
	return func(ctx context.Context, r *request) (*reply, error) {
		if text := r.header.Get(HeaderAfter); text != "" {
			if err := userBucket(r); err != nil {
				return nil, err
			}
			if err := h.seen(ctx, r.bucket, text); err != nil {
				return nil, err
			}
		}
		return read(ctx, r)
	}
}

// seen waits until the node has seen what the tokens of HeaderAfter name.
func (h *Handlers) seen(ctx context.Context, bucket, after string) error {
	if after == "" {
		return nil
	}
	tokens, err := ParseTokens(after)
	if err != nil {
		return ErrBadRequest.With("%s: %s", HeaderAfter, err)
	}
	return h.reach(ctx, bucket, tokens, false)
}

// answerRoom is what a wait leaves of its time to be told of in: no more than a
// tenth of it.
const answerRoom = 500 * time.Millisecond

// reach waits until the backend has seen the writes, and leaves time to say that
// it has not.
func (h *Handlers) reach(ctx context.Context, bucket string, tokens []oplog.Dot, durable bool) error {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-min(answerRoom, time.Until(end)/10)))
		defer cancel()
	}
	return h.backend.Reached(ctx, bucket, tokens, durable)
}

// A ReachedResult tells that a node has writes on its disk.
type ReachedResult struct {
	V    int    `json:"v"`
	Node string `json:"node"`
}

// reached answers once the node has the writes of the body on its disk.
func (h *Handlers) reached(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	tokens, err := ParseTokens(string(r.body))
	if err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	if err := h.reach(ctx, r.bucket, tokens, true); err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(ReachedResult{V: 1, Node: h.backend.Name()})}, nil
}

// Reached returns once a node has the writes on its disk. ErrBehind if that is not
// so in time.
func (c *Client) Reached(ctx context.Context, node, bucket string, tokens ...oplog.Dot) error {
	if err := bus.ValidBucket(bucket); err != nil {
		return ErrBadBucket.With("%s", err)
	}
	_, err := c.call(ctx, bucket, node, verbReached, []byte(joinTokens(tokens)))
	return c.named(node, err)
}

// A Holding is who has writes on its disk, and why the others are not known to.
type Holding struct {
	Nodes   []string         // in the order in which they said so
	Missing map[string]error // by node
}

// Hold asks the nodes whether they have the writes on their disks, all at once, and
// returns as soon as enough of them have, or ctx ends.
func (c *Client) Hold(ctx context.Context, bucket string, nodes []string, enough int, tokens ...oplog.Dot) Holding {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		node string
		err  error
	}
	answers := make(chan answer, len(nodes))
	for _, node := range nodes {
		go func() { answers <- answer{node, c.Reached(ctx, node, bucket, tokens...)} }()
	}
	h := Holding{Missing: map[string]error{}}
	for range nodes {
		a := <-answers
		switch {
		case a.err == nil:
			h.Nodes = append(h.Nodes, a.node)
		case len(h.Nodes) >= enough && errors.Is(a.err, context.Canceled):
		default:
			h.Missing[a.node] = a.err
		}
		if len(h.Nodes) >= enough {
			cancel() // the others need not answer
		}
	}
	return h
}
