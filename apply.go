package replicator

import (
	"errors"
	"time"

	"replicator/bus"
	"replicator/carry"
	"replicator/store"
	syncer "replicator/sync"
)

// applyBytes is how much one batch of merged live messages takes.
const applyBytes = 1 << 20

// runApplies merges what the engine asks for, in its order.
func (l *loop) runApplies() error {
	defer close(l.merged)
	for {
		select {
		case <-l.node.ctx.Done():
			return nil
		case <-l.gone:
			return nil
		case <-l.applies.wake:
		}
		list := l.applies.take()
		for len(list) > 0 && l.node.ctx.Err() == nil {
			list = l.apply(list)
		}
	}
}

// apply carries out the first action, live messages together with those that
// follow it, and returns the rest.
func (l *loop) apply(list []syncer.Action) []syncer.Action {
	switch a := list[0].(type) {
	case syncer.ApplyLive:
		run := liveRun(list)
		l.applyLive(run)
		return list[len(run):]
	case syncer.ApplyPage:
		l.order.Lock()
		applied, ev := carry.Page(l.node.store, time.Now(), a)
		l.hub.QueueMerged(applied)
		l.order.Unlock()
		l.applied(applied, ev.Err)
		l.node.feed(ev)
	case syncer.EndPull:
		l.order.Lock()
		applied, ev := carry.End(l.node.store, time.Now(), a)
		l.hub.QueueMerged(applied)
		l.order.Unlock()
		l.applied(applied, ev.Err)
		l.node.feed(ev)
	case syncer.Collect:
		l.collect(a)
	case syncer.Wipe:
		l.wipe(a)
	}
	return list[1:]
}

// wipe empties the bucket of a replica. Whoever watches it has to begin anew: of
// what is deleted before the rows are back, nothing would tell.
func (l *loop) wipe(a syncer.Wipe) {
	l.order.Lock()
	ev := carry.Wipe(l.node.store, a)
	if ev.Err == nil {
		l.hub.End(ErrWiped)
	}
	l.order.Unlock()
	if errors.Is(ev.Err, store.ErrTaken) {
		l.node.log.Info("bucket not emptied, for more came meanwhile", "bucket", l.name)
	} else if ev.Err != nil {
		l.node.log.Error("bucket not emptied", "bucket", l.name, "error", ev.Err)
	}
	l.node.touch(l.name)
	l.node.feed(ev)
}

// collect drops what every member has seen deleted or expired.
func (l *loop) collect(a syncer.Collect) {
	gone, err := carry.Collect(l.node.store, time.Now(), a)
	if err != nil {
		l.node.log.Warn("tombstones not collected", "bucket", l.name, "error", err)
	}
	if gone > 0 {
		l.node.log.Debug("tombstones collected", "bucket", l.name, "rows", gone)
		l.node.touch(l.name)
	}
}

// liveRun returns the live messages at the head of the list that go into one
// batch.
func liveRun(list []syncer.Action) []syncer.ApplyLive {
	var run []syncer.ApplyLive
	size := 0
	for _, a := range list {
		live, ok := a.(syncer.ApplyLive)
		if !ok || size > 0 && size+live.Size > applyBytes {
			break
		}
		run = append(run, live)
		size += live.Size
	}
	return run
}

func (l *loop) applyLive(run []syncer.ApplyLive) {
	l.order.Lock()
	applied, ev := carry.Live(l.node.store, time.Now(), run)
	l.hub.QueueMerged(applied)
	l.order.Unlock()
	l.applied(applied, ev.Err)
	l.node.feed(ev)
}

// applied does what follows a merge, whatever road its entries came by.
func (l *loop) applied(a store.Applied, err error) {
	_, doubtful := errors.AsType[*syncer.DoubtfulError](err)
	if err != nil && !doubtful && !errors.Is(err, syncer.ErrAmbiguous) { // of which events tell
		l.node.log.Error("merge failed", "bucket", l.name, "error", err)
	}
	l.tellMerged(&a)
	for _, err := range a.Refused {
		l.node.log.Error("live message refused", "bucket", l.name, "error", err)
	}
	if len(a.Reissued.Entries) > 0 {
		l.finish(group{written: a.Reissued}) // writes of our own now
	}
	l.hub.Release(l.bucket.DurableCovers)
	l.moved.beat()
	l.node.touch(l.name)
	if l.name == bus.Fleet {
		l.node.heedFleet()
	}
}
