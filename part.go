package replicator

import (
	"context"
	"fmt"
	"time"

	"replicator/store"
	syncer "replicator/sync"
)

// A PartingError refuses a write to a bucket that the node is about to leave.
type PartingError struct{ Node, Bucket string }

func (e *PartingError) Error() string {
	return fmt.Sprintf("replicator: node %s is leaving bucket %s: write to another node", e.Node, e.Bucket)
}

// LeaveBucket has this node give up a bucket: it takes no more writes to it, waits
// until another live master has all that is in it and keeps it, and deletes it from
// its disk, with the writes that it keeps there which lost a conflict. The others go on;
// to end a bucket everywhere, delete its keys. From then on the bucket is ErrNoBucket here, and is not joined for
// being heard of, until CreateBucket or a start with its name in Config.Buckets.
//
// If ctx ends before, a *NotHandedOverError says what is missing, and all is as it was.
// With now the node waits for nobody: what only it has is gone. The bucket in which
// nodes keep what concerns all of them stays.
func (n *Node) LeaveBucket(ctx context.Context, name string, now bool) error {
	if !n.parting.TryLock() {
		return n.leavingAlready()
	}
	defer n.parting.Unlock()
	n.departs.Store(new("bucket " + name))
	l, err := n.loop(name)
	if err != nil {
		return err
	}
	l.parting.Store(true)
	if err := n.partWith(ctx, l, now); err != nil {
		l.parting.Store(false)
		n.feed(syncer.HandOver{}) // of nothing
		return err
	}
	if err := n.dropBucket(l); err != nil {
		return err
	}
	n.log.InfoContext(ctx, "left bucket", "bucket", name)
	return nil
}

// leavingAlready says what the node is leaving.
func (n *Node) leavingAlready() error {
	what := "something"
	if of := n.departs.Load(); of != nil {
		what = *of
	}
	return fmt.Errorf("%w: it is leaving %s; when that has ended, or was given up in time, ask again", ErrLeaving, what)
}

// partWith finishes what was written, and waits for an heir unless told not to.
func (n *Node) partWith(ctx context.Context, l *loop, now bool) error {
	if _, err := l.submit(ctx, []store.Op{}); err != nil { // behind it none is written
		return err
	}
	if err := n.store.Sync(); err != nil {
		return err
	}
	if err := n.awaitEngine(ctx, l.name); err != nil {
		return err
	}
	if now {
		n.feed(syncer.Parting{Bucket: l.name}) // who counts on it is not to do so longer than it takes
		return nil
	}
	if err := n.handOver(ctx, []string{l.name}); err != nil {
		return err
	}
	n.feed(syncer.Parting{Bucket: l.name}) // others may be about to leave it, too
	return n.awaitHeirs(ctx)
}

// awaitEngine waits until the engine has heard of a bucket that was joined just now: of
// one that it does not know, nothing would be found lacking.
func (n *Node) awaitEngine(ctx context.Context, name string) error {
	tick := time.NewTicker(handOverPause / 10)
	defer tick.Stop()
	for {
		held := false
		n.ask(func() { held = n.engine.Holds(name) })
		if held {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
}

// dropBucket ends all that goes on in a bucket, the engine's asking first, and deletes
// it.
func (n *Node) dropBucket(l *loop) error {
	n.feed(syncer.Left{Bucket: l.name, Wrote: l.bucket.Wrote()})
	n.ask(func() {}) // once this has run nothing more is asked for it
	err := n.bus.Leave(l.name)
	l.finishWrites()
	close(l.gone)
	<-l.merged
	l.moved.beat()
	l.hub.End(noBucket(l.name))
	n.mu.Lock() // a join in between would be undone
	defer n.mu.Unlock()
	delete(n.loops, l.name)
	if dropped := n.store.Drop(l.name); dropped != nil {
		return fmt.Errorf("replicator: the bucket is not held any more, but it is still on the disk: %w", dropped)
	}
	return err
}
