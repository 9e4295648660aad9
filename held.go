package replicator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nuid"

	"replicator/api"
	"replicator/bus"
)

// A Held is who has writes on its disk and, by name, why the others are not known to.
type Held = api.Holding

// A NotHeldError reports that fewer nodes have writes on their disks than were wanted
// to. The writes are done, and reach the others as all do.
type NotHeldError struct {
	Held  Held
	Cause error // of the context that ended; nil: the others cannot be asked
}

func (e *NotHeldError) Error() string {
	missing := strings.Join(slices.Sorted(maps.Keys(e.Held.Missing)), ", ")
	return fmt.Sprintf("replicator: not known to be on the disks of %s: only on %d of %d", missing, len(e.Held.Nodes), e.Held.Wanted)
}

func (e *NotHeldError) Unwrap() error { return e.Cause }

// WaitHeld returns once so many members of the fleet as who says have on their disks
// all that the tokens stand for, as WaitDurable does for this node. Who is "all" that
// hold the bucket and count, as many as "2", a share as "50%", or nodes by name as
// "a,b". This node is one of them, and has what it wrote once that is on its own disk:
// with DurabilityInterval that is later than the write is answered.
//
// The others are asked over the node's connection, all at once, until ctx ends. One
// that does not answer, for it is stopped or cut off, is not waited for. A
// *NotHeldError then says who is missing; api.ErrTooFew that more are wanted than hold
// the bucket, as far as this node knows.
func (b *Bucket) WaitHeld(ctx context.Context, who string, tokens ...Revision) (Held, error) {
	q, err := api.ParseQuorum(who)
	if err != nil {
		return Held{}, fmt.Errorf("replicator: wait for %q: %w", who, err)
	}
	if len(tokens) == 0 {
		return Held{}, fmt.Errorf("replicator: wait for %q: no token says of what", who)
	}
	h, err := b.hold(ctx, q, tokens)
	switch {
	case err != nil:
		return h, err
	case !h.Enough() && b.node.ctx.Err() != nil:
		return h, ErrClosed
	case !h.Enough():
		return h, &NotHeldError{Held: h, Cause: ctx.Err()}
	}
	return h, nil
}

func (b *Bucket) hold(ctx context.Context, q api.Quorum, tokens []Revision) (Held, error) {
	if err := b.node.alive(); err != nil {
		return Held{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.node.ctx, cancel)()
	return q.Hold(ctx, b.Name(), b.node.Status(ctx).Members, func(ctx context.Context, node string) error {
		if node == b.node.Name() {
			return apiError(b.WaitDurable(ctx, tokens...)) // as another would answer
		}
		asker, err := b.node.askOthers()
		if err != nil {
			return err
		}
		return asker.ReachedBy(ctx, node, b.Name(), tokens...)
	})
}

// askOthers returns the client by which the node asks others. Its replies come where
// a server may let only this node listen.
func (n *Node) askOthers() (*api.Client, error) {
	n.asking.Lock()
	defer n.asking.Unlock()
	if err := n.alive(); err != nil {
		return nil, err
	}
	if n.asker != nil {
		return n.asker, nil
	}
	inbox := bus.Subjects{Prefix: n.cfg.Prefix}.APIReply(n.Name()) + "." + nuid.Next()
	var err error
	n.asker, err = api.NewClient(n.cfg.Conn, api.ClientOptions{Prefix: n.cfg.Prefix, Inbox: inbox})
	return n.asker, err
}

func (n *Node) closeAsker() error {
	n.asking.Lock()
	defer n.asking.Unlock()
	if n.asker == nil {
		return nil
	}
	return n.asker.Close()
}
