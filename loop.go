package replicator

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/watch"
)

// A loop is the pair of goroutines through which a bucket changes: one commits
// local writes, group after group, the other merges what comes from others.
type loop struct {
	node    *Node
	name    string
	bucket  *store.Bucket
	writes  chan *request
	applies *queue[syncer.Action]
	hub     *watch.Hub
	moved   pulse // when the clock has moved, in memory or on disk
	scrubs  scrubs

	conflicts atomic.Uint64 // since the start, whoever lost
	tells     struct {      // what a merge found; only in the merge loop
		conflict, ambiguous, future, fork eventMeter
	}

	// order is held while rows change and their changes are queued for watchers,
	// so that watchers see them in the order in which they took effect.
	order sync.Mutex

	stop     chan struct{} // closed when no more writes are taken
	stopOnce sync.Once
	stopped  chan struct{} // closed when the last group is on disk and published

	settings atomic.Pointer[BucketSettings] // what is settled for it; never changed in place

	parting atomic.Bool   // the bucket is about to be left: it takes no writes
	gone    chan struct{} // closed when it has been left: nothing more is merged
	merged  chan struct{} // closed when the last merge has ended
}

// A request is operations of one caller that waits for their group.
type request struct {
	ops  []store.Op
	size int
	done chan result // takes one result without blocking
}

type result struct {
	entries []oplog.Entry // one an operation; without a stamp where it was skipped
	err     error
}

// A group is what one commit wrote, on its way to disk and network.
type group struct {
	written  store.Written
	requests []*request
	after    chan struct{} // if set, the group is none, and this is closed in its turn
}

const (
	// groupOps is the most operations of a commit group.
	groupOps = 4096
	// unsyncedGroups is how many groups may be answered and not yet synced with
	// DurabilityInterval; then writers wait for the disk after all.
	unsyncedGroups = 256
	// groupShare is which part of a live message a group may fill: what an
	// entry takes on the wire is an estimate.
	groupShare = 0.9
)

func newLoop(n *Node, b *store.Bucket, name string) *loop {
	return &loop{
		node: n, name: name, bucket: b, writes: make(chan *request, n.cfg.Queue),
		applies: newQueue[syncer.Action](), hub: watch.NewHub(watch.Limits{}),
		stop: make(chan struct{}), stopped: make(chan struct{}), gone: make(chan struct{}), merged: make(chan struct{}),
	}
}

// ended returns why the bucket answers nothing more, nil while it does.
func (l *loop) ended() error {
	select {
	case <-l.gone:
		return noBucket(l.name)
	default:
	}
	return l.node.alive()
}

func noBucket(name string) error { return fmt.Errorf("%w: %s", ErrNoBucket, name) }

// write queues operations and waits for their group. An error that wraps
// ctx.Err() while waiting for the disk leaves open whether they were written.
func (l *loop) write(ctx context.Context, ops []store.Op) ([]oplog.Entry, error) {
	if err := l.node.refusal(); err != nil {
		return nil, err
	}
	l.giveEnd(ops)
	return l.submit(ctx, ops)
}

// submit is write for the node's own purposes: one that has left, or that was
// forgotten, may still say so.
func (l *loop) submit(ctx context.Context, ops []store.Op) ([]oplog.Entry, error) {
	r := &request{ops: ops, done: make(chan result, 1)}
	for _, op := range ops {
		r.size += len(op.Key) + len(op.Value) + len(op.Type) + 160
	}
	select {
	case <-l.stop:
		return nil, l.stopReason()
	default:
	}
	select {
	case l.writes <- r:
	case <-l.stop:
		return nil, l.stopReason()
	case <-ctx.Done():
		return nil, errors.Join(ErrOverloaded, ctx.Err())
	}
	select {
	case res := <-r.done:
		return res.entries, res.err
	case <-l.stopped:
		select {
		case res := <-r.done:
			return res.entries, res.err
		default:
			return nil, l.stopReason()
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stopReason is why no more writes are taken.
func (l *loop) stopReason() error {
	if err := l.ended(); err != nil {
		return err
	}
	if l.parting.Load() {
		return noBucket(l.name)
	}
	return ErrClosed
}

// runCommits turns waiting writes into groups until the node stops. With
// DurabilityInterval a second goroutine follows with fsync and publish.
func (l *loop) runCommits() error {
	defer close(l.stopped)
	groups := make(chan group, unsyncedGroups)
	var follower sync.WaitGroup
	follower.Go(func() { l.follow(groups) })
	defer func() { close(groups); follower.Wait() }()
	following := false // groups may be on their way to the disk
	finish := func(g group) {
		switch {
		case l.durability() == DurabilityInterval:
			l.answer(g, nil)
			groups <- g
			following = true
			return
		case following: // that has just been settled: what was written before leaves before
			done := make(chan struct{})
			groups <- group{after: done}
			<-done
			following = false
		}
		l.finish(g)
	}
	for {
		select {
		case r := <-l.writes:
			l.commit(r, finish)
		case <-l.stop:
			l.drain(finish)
			return nil
		}
	}
}

func (l *loop) drain(finish func(group)) {
	for {
		select {
		case r := <-l.writes:
			l.commit(r, finish)
		default:
			return
		}
	}
}

// finishWrites takes no more writes and returns when those that wait are done.
func (l *loop) finishWrites() {
	l.stopOnce.Do(func() { close(l.stop) })
	<-l.stopped
}

// commit writes first and whatever else waits, group after group, until none
// is left over.
func (l *loop) commit(first *request, finish func(group)) {
	for next := first; next != nil; {
		var requests []*request
		requests, next = l.gather(next)
		l.writeGroup(requests, finish)
	}
}

// gather collects the requests of one group, and the one that did not fit any
// more. Yielding once lets writers that are about to queue join.
func (l *loop) gather(first *request) (requests []*request, next *request) {
	runtime.Gosched()
	requests = []*request{first}
	ops, size := len(first.ops), first.size
	limit := int(float64(l.node.bus.LiveLimit()) * groupShare)
	for ops < groupOps && size < limit {
		select {
		case r := <-l.writes:
			if size+r.size > limit || ops+len(r.ops) > groupOps {
				return requests, r
			}
			requests = append(requests, r)
			ops += len(r.ops)
			size += r.size
		default:
			return requests, nil
		}
	}
	return requests, nil
}

// writeGroup writes requests as one batch. If one of them is more than a row can
// take, each is written alone: the others are not to blame.
func (l *loop) writeGroup(requests []*request, finish func(group)) {
	if requests = l.admit(requests); len(requests) == 0 {
		return
	}
	ops := requests[0].ops
	if len(requests) > 1 {
		ops = nil
		for _, r := range requests {
			ops = append(ops, r.ops...)
		}
	}
	if len(ops) == 0 { // they wait for what was before, on a full disk and at a replica, too
		finish(group{requests: requests})
		return
	}
	l.order.Lock()
	written, err := l.bucket.Write(time.Now(), ops)
	if err == nil {
		l.hub.QueueOwn(written)
	}
	l.order.Unlock()
	l.moved.beat()
	g := group{requests: requests, written: written}
	if _, tooMuch := errors.AsType[*store.LimitError](err); tooMuch && len(requests) > 1 {
		for _, r := range requests {
			l.writeGroup([]*request{r}, finish)
		}
		return
	}
	if err != nil {
		l.answer(g, err)
		return
	}
	finish(g)
}

// admit turns those away that were queued before the node began to leave, the fleet
// or this bucket, or was forgotten, and not written yet. A request without operations waits for those
// before it.
func (l *loop) admit(requests []*request) []*request {
	var refusal error
	switch reason := l.node.retired.Load(); {
	case l.parting.Load():
		refusal = &PartingError{Node: l.node.Name(), Bucket: l.name}
	case reason != nil && l.name != bus.Fleet:
		refusal = &RetiredError{Reason: *reason}
	default:
		return requests
	}
	return slices.DeleteFunc(requests, func(r *request) bool {
		if len(r.ops) > 0 {
			r.done <- result{err: refusal}
		}
		return len(r.ops) > 0
	})
}

// finish makes a group durable, answers its callers, then publishes it: nothing
// of our own leaves before it is on disk.
func (l *loop) finish(g group) {
	err := l.node.store.Sync()
	l.answer(g, err)
	if err == nil {
		l.publish(g)
		l.synced()
	}
}

// follow is finish for writes that were answered before their fsync: one fsync
// after the other while anything is unsynced.
func (l *loop) follow(groups <-chan group) {
	for g := range groups {
		list := []group{g}
		for waiting := len(groups); waiting > 0; waiting-- {
			list = append(list, <-groups)
		}
		l.publishSynced(list)
	}
}

func (l *loop) publishSynced(list []group) {
	err := l.node.store.Sync()
	if err != nil {
		l.node.log.Error("sync failed, the last writes may be lost in a crash", "bucket", l.name, "error", err)
	}
	for _, g := range list {
		switch {
		case g.after != nil:
			close(g.after)
		case err == nil:
			l.publish(g)
		}
	}
	if err == nil {
		l.synced()
	}
}

func (l *loop) synced() {
	l.hub.Release(l.bucket.DurableCovers)
	l.moved.beat()
	l.node.feed(syncer.Synced{Bucket: l.name})
}

// answer gives each caller the entries of its own operations.
func (l *loop) answer(g group, err error) {
	op, at := 0, 0
	for _, r := range g.requests {
		if err != nil {
			r.done <- result{err: err}
			continue
		}
		entries := make([]oplog.Entry, len(r.ops))
		for i := range r.ops {
			if !g.written.Skipped[op+i] {
				entries[i] = g.written.Entries[at]
				at++
			}
		}
		op += len(r.ops)
		r.done <- result{entries: entries}
	}
}

// publish sends the group's live message. What cannot be sent is found missing
// by the others and pulled.
func (l *loop) publish(g group) {
	w := g.written
	m := syncer.NewLive(l.name, l.node.self.Nonce, w.Entries, w.First, w.Last, w.Origin, l.node.bus.LiveLimit()*9/10)
	if m == nil {
		return
	}
	l.node.send(m, func(body []byte) error {
		if len(body) > l.node.bus.LiveLimit() {
			return l.announce(w)
		}
		return l.node.bus.PublishLive(l.name, liveHeader(m), body)
	})
}

// announce tells of a group whose body came out larger than a message.
func (l *loop) announce(w store.Written) error {
	m := syncer.NewLive(l.name, l.node.self.Nonce, w.Entries, w.First, w.Last, w.Origin, 0)
	body, err := oplog.Encode(l.node.cfg.Codec, m)
	if err != nil {
		return err
	}
	return l.node.bus.PublishLive(l.name, liveHeader(m), body)
}

// liveHeader repeats for people what is in the body.
func liveHeader(m *oplog.Live) map[string]string {
	h := map[string]string{
		"Replicator-Origin": m.Origin.String(),
		"Replicator-Seq":    strconv.FormatUint(m.First, 10) + "-" + strconv.FormatUint(m.Last, 10),
		"Replicator-Count":  strconv.Itoa(len(m.Entries)),
	}
	if len(m.Entries) > 0 {
		last := m.Entries[len(m.Entries)-1].Stamp.HLC
		h["Replicator-Hlc"] = last.String()
	}
	return h
}

func sessionToken(id uint64) string { return strconv.FormatUint(id, 16) }

func parseSession(token string) (id uint64, ok bool) {
	id, err := strconv.ParseUint(token, 16, 64)
	return id, err == nil
}
