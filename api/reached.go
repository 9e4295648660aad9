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
	ctx, cancel := withRoom(ctx)
	defer cancel()
	return h.backend.Reached(ctx, bucket, tokens, durable)
}

func withRoom(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(answerRoom, time.Until(end)/10)))
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

// ReachedBy is Reached for as long as ctx lasts: a node works on one request no longer
// than it is set to.
func (c *Client) ReachedBy(ctx context.Context, node, bucket string, tokens ...oplog.Dot) error {
	var behind error
	for {
		err := c.Reached(ctx, node, bucket, tokens...)
		switch {
		case behind != nil && ctx.Err() != nil && err != nil:
			return behind // which tells more than that there was no time for another answer
		case !errors.Is(err, ErrBehind) || !lasts(ctx):
			return err
		}
		behind = err
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return behind
		}
	}
}

// askAgain is how long a node is left alone that has just said it is behind.
const askAgain = 100 * time.Millisecond

// lasts reports whether there is time for another answer.
func lasts(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(end) > 2*answerRoom)
}

// Hold asks the nodes whether they have the writes on their disks, all at once, and
// returns as soon as enough of them have, all have answered, or ctx ends.
func (c *Client) Hold(ctx context.Context, bucket string, nodes []string, enough int, tokens ...oplog.Dot) Holding {
	return hold(ctx, nodes, enough, func(ctx context.Context, node string) error {
		return c.ReachedBy(ctx, node, bucket, tokens...)
	})
}

// HoldBy is Hold for the members that q wants, of which the client's node is asked.
// ErrTooFew if more are wanted than hold the bucket.
func (c *Client) HoldBy(ctx context.Context, bucket string, q Quorum, tokens ...oplog.Dot) (Holding, error) {
	var members []MemberStatus
	if q.names == nil {
		st, err := c.Status(ctx)
		if err != nil {
			return Holding{}, err
		}
		members = st.Members
	}
	return q.Hold(ctx, bucket, members, func(ctx context.Context, node string) error {
		return c.ReachedBy(ctx, node, bucket, tokens...)
	})
}
