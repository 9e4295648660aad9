package replicator

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"replicator/oplog"
)

// A BehindError reports that a node had not got as far as a token in time.
type BehindError struct {
	By    uint64 // writes of the token's origins that are missing
	Cause error  // of the context that ended
}

func (e *BehindError) Error() string { return fmt.Sprintf("replicator: behind by %d writes", e.By) }

func (e *BehindError) Unwrap() error { return e.Cause }

// WaitSeen returns once this node has all that the tokens stand for: those writes,
// or what beat them, and all that their nodes wrote before. The token of a write is
// its Revision, of a batch that of its last entry. So a reader that brings the
// token along reads at any node what it wrote at another.
//
// A *BehindError says how far the node had got when ctx ended.
func (b *Bucket) WaitSeen(ctx context.Context, tokens ...Revision) error {
	return b.loop.reach(ctx, b.loop.bucket.Covers, b.loop.bucket.Seq, tokens)
}

// WaitDurable is WaitSeen for what is on this node's disk.
func (b *Bucket) WaitDurable(ctx context.Context, tokens ...Revision) error {
	seq := func(o oplog.Origin) oplog.Seq {
		_, clock := b.loop.bucket.DurableState()
		return clock[o]
	}
	return b.loop.reach(ctx, b.loop.bucket.DurableCovers, seq, tokens)
}

func (l *loop) reach(ctx context.Context, covers func(Revision) bool, seq func(oplog.Origin) oplog.Seq, tokens []Revision) error {
	for {
		moved := l.moved.wait() // before the clock is looked at
		if err := l.ended(); err != nil {
			return err
		}
		if !slices.ContainsFunc(tokens, func(r Revision) bool { return !covers(r) }) {
			return nil // all at once: the clock of a replica that was emptied has gone back
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return &BehindError{By: behind(seq, tokens), Cause: ctx.Err()}
		case <-l.node.ctx.Done():
			return ErrClosed
		}
	}
}

func behind(seq func(oplog.Origin) oplog.Seq, tokens []Revision) (n uint64) {
	want := oplog.Clock{}
	for _, t := range tokens {
		want[t.Origin] = max(want[t.Origin], t.Seq)
	}
	for o, high := range want {
		n += high - min(high, seq(o))
	}
	return n
}

// A pulse tells all who wait for it that something has moved.
type pulse struct {
	mu   sync.Mutex // guards next
	next chan struct{}
}

// wait returns what is closed by the next beat.
func (p *pulse) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = make(chan struct{})
	}
	return p.next
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		close(p.next)
		p.next = nil
	}
}
