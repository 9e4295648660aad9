package replicator

import (
	"context"
	"errors"
	"time"

	"replicator/bus"
	"replicator/carry"
	"replicator/store"
	syncer "replicator/sync"
)

const (
	// handOverPause is how often a node that leaves looks whether it may.
	handOverPause = 100 * time.Millisecond
	// farewell is how long it waits for the others to have heard that it has left:
	// those that are there need a heartbeat. One may just have died.
	farewell = 5 * time.Second
)

// ErrReplicaStays reports a replica that is to leave. It has nothing to hand over:
// stop it, and Forget it on a master.
var ErrReplicaStays = errors.New("replicator: a replica does not leave: stop it, and have a master forget it")

// Left is closed once Leave has succeeded: the node should be closed then.
func (n *Node) Left() <-chan struct{} { return n.left }

// Leave takes the node out of the fleet for good: it takes no more writes, waits
// until every other live node that holds a bucket has all that is in it here,
// and tells them that it has left. From then on nothing waits for it. With now
// it waits for nobody: what only it has stays on its disk. ErrReplicaStays if the
// node is a replica.
//
// If ctx ends before that, a *NotHandedOverError says what is missing, and the
// node is a member as before. The same error refuses at once a node whose disk has
// buckets that it does not replicate. After Leave it still answers and replicates until
// it is closed. Opened again from the same folder it replicates and refuses
// writes until it is readmitted.
func (n *Node) Leave(ctx context.Context, now bool) error {
	if n.Replica() {
		return ErrReplicaStays
	}
	if !n.parting.TryLock() {
		return n.leavingAlready()
	}
	defer n.parting.Unlock()
	select {
	case <-n.left:
		return n.leavingAlready()
	default:
	}
	n.departs.Store(new("the fleet"))
	n.leaving.Store(true)
	n.takeRoster() // which refuses writes from here on
	err := n.leave(ctx, now)
	if err != nil {
		n.leaving.Store(false)
		n.takeRoster()
		n.feed(syncer.HandOver{}) // of nothing
		return err
	}
	n.log.InfoContext(ctx, "left the fleet")
	close(n.left)
	return nil
}

func (n *Node) leave(ctx context.Context, now bool) error {
	if err := n.finishQueued(ctx); err != nil {
		return err
	}
	if !now {
		if unheld := n.unheld(); len(unheld) > 0 {
			return &NotHandedOverError{Unheld: unheld}
		}
		if err := n.handOverAll(ctx); err != nil {
			return err
		}
	}
	op, err := carry.Retire(n.self.Node, syncer.Retired{State: syncer.MemberLeft, By: n.self.Node, At: time.Now()})
	if err != nil {
		return err
	}
	if _, err := n.tellFleet(ctx, op); err != nil {
		return err
	}
	if err := n.store.Sync(); err != nil || now {
		return err
	}
	// It has left, whether all have heard of it or not: they tell each other.
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	if err := n.handOver(ctx, []string{bus.Fleet}); err != nil {
		n.log.WarnContext(ctx, "not every live node is known to have heard that this one has left", "error", err)
	}
	return nil
}

// handOverAll waits until the others have what every bucket holds, and then until of
// each somebody has said that he keeps it: others may be about to leave it.
func (n *Node) handOverAll(ctx context.Context) error {
	names := n.heldBuckets()
	if err := n.handOver(ctx, names); err != nil {
		return err
	}
	for _, name := range names {
		if name != bus.Fleet { // which nobody leaves, and in which this is told
			n.feed(syncer.Parting{Bucket: name})
		}
	}
	return n.awaitHeirs(ctx)
}

// heldBuckets returns the buckets that are replicated, with that of the fleet.
func (n *Node) heldBuckets() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return sortedKeys(n.loops)
}

// unheld returns the buckets that were replicated once, by the settings of an
// earlier start, and may hold what nobody else has.
func (n *Node) unheld() []string {
	var list []string
	for _, name := range n.store.Buckets() {
		if _, err := n.held(name); err == nil {
			continue
		}
		b, ok := n.store.Bucket(name)
		if ok && len(b.Clock())+len(b.Ahead()) > 0 {
			list = append(list, name)
		}
	}
	return list
}

// finishQueued returns when the writes that were taken before it are on disk.
func (n *Node) finishQueued(ctx context.Context) error {
	n.mu.Lock()
	loops := make([]*loop, 0, len(n.loops))
	for _, l := range n.loops {
		loops = append(loops, l)
	}
	n.mu.Unlock()
	for _, l := range loops {
		if _, err := l.submit(ctx, []store.Op{}); err != nil {
			return err
		}
	}
	return n.store.Sync()
}

// handOver waits until the live members have said that they have what these
// buckets hold durably now.
func (n *Node) handOver(ctx context.Context, buckets []string) error {
	n.feed(syncer.HandOver{Buckets: buckets})
	return n.awaitHeirs(ctx)
}

// awaitHeirs waits until the engine says that nothing is lacking.
func (n *Node) awaitHeirs(ctx context.Context) error {
	tick := time.NewTicker(handOverPause)
	defer tick.Stop()
	for {
		var lacking map[string][]string
		n.ask(func() { lacking = n.engine.Lacking() })
		if n.ctx.Err() != nil {
			return ErrClosed
		}
		if len(lacking) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &NotHandedOverError{Lacking: lacking, Cause: ctx.Err()}
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
}
