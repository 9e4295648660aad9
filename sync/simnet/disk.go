package simnet

import (
	"errors"
	"fmt"
	"time"

	"replicator/carry"
	"replicator/store"
	syncer "replicator/sync"
)

// errFull is why a store refuses to merge: the disk is full for a moment.
var errFull = errors.New("simnet: disk full")

// fsync runs one sync after the other while anything is unsynced.
func (n *Node) fsync() {
	n.dirty = true
	if n.syncing {
		return
	}
	n.syncing = true
	n.dirty = false
	published := n.waiting
	n.waiting = map[string][]group{}
	n.later(time.Duration(n.w.rnd.Int64N(int64(n.w.cfg.SyncMax)))+50*time.Microsecond+n.slow, func() {
		// Commits made meanwhile reach the disk too: Sync covers all before it.
		if err := n.store.Sync(); err != nil {
			panic(fmt.Sprintf("simnet: sync: %v", err))
		}
		n.syncing = false
		for _, bucket := range n.w.cfg.Buckets {
			for _, g := range published[bucket] {
				n.publish(g)
			}
			n.release(bucket)
			n.step(syncer.Synced{Bucket: bucket})
		}
		if n.dirty || len(n.waiting) > 0 {
			n.fsync()
		}
	})
}

// actOnStore carries out what touches the disk. It happens a while after it was
// asked for, and the engine hears of it later still: much may come between.
func (n *Node) actOnStore(a syncer.Action) {
	switch a := a.(type) {
	case syncer.ApplyLive:
		n.queueApply(a.Bucket, a)
	case syncer.ApplyPage:
		n.queueApply(a.Bucket, a)
	case syncer.EndPull:
		n.queueApply(a.Bucket, a)
	case syncer.Collect:
		n.countEviction()
		n.queueApply(a.Bucket, a)
	case syncer.Scrub:
		b, _ := n.store.Bucket(a.Bucket)
		n.later(n.moment(), func() { n.scrub(a, b.Scrub()) })
	case syncer.Wipe:
		n.queueApply(a.Bucket, a)
	case syncer.SaveMember:
		if err := n.store.SaveMember(store.Member(a.Member)); !n.full {
			n.report(err)
		}
	case syncer.OpenSnapshot:
		n.later(n.moment(), func() { n.tell(n.donor.Open(a)) })
	case syncer.ReadPage:
		n.later(n.moment(), func() { n.tell(n.donor.Read(a)) })
	case syncer.CloseSnapshot:
		n.later(n.moment(), func() { n.report(n.donor.Close(a.Session)) })
	case syncer.JoinBucket:
		n.joinHeard(a.Bucket)
	}
}

// queueApply has a bucket's merges carried out one after the other.
func (n *Node) queueApply(bucket string, a syncer.Action) {
	n.applies[bucket] = append(n.applies[bucket], a)
	if len(n.applies[bucket]) == 1 {
		n.later(n.moment(), func() { n.applyNext(bucket) })
	}
}

// applyNext merges what was asked for first, live messages together with those
// that follow them.
func (n *Node) applyNext(bucket string) {
	list := n.applies[bucket]
	var ev syncer.Event
	var err error
	done := 1
	refused := n.full || !n.w.quiet && n.w.rnd.Float64() < n.w.cfg.Refuse
	if refused {
		n.w.Stats.Count[Refusals]++
		n.store.SetReadOnly(errFull)
	}
	switch a := list[0].(type) {
	case syncer.ApplyLive:
		run := []syncer.ApplyLive{a}
		for _, next := range list[1:] {
			live, ok := next.(syncer.ApplyLive)
			if !ok {
				break
			}
			run = append(run, live)
		}
		done = len(run)
		merged, applied := carry.Live(n.store, n.wall(), run)
		n.merged(a.Bucket, merged, byLive)
		ev, err = applied, applied.Err
	case syncer.ApplyPage:
		n.tears(a)
		merged, applied := carry.Page(n.store, n.wall(), a)
		by := byPage
		switch {
		case a.Rec != nil:
			by = byReconcile
		case a.Repair != nil:
			by = byRepair
			n.w.Stats.Count[Repaired] += applied.Changed
		}
		n.merged(a.Bucket, merged, by)
		ev, err = applied, applied.Err
	case syncer.EndPull:
		merged, ended := carry.End(n.store, n.wall(), a)
		n.merged(a.Bucket, merged, byReconcile)
		ev, err = ended, ended.Err
		n.w.Stats.Count[Pulls]++
		if a.Rec != nil {
			n.w.Stats.Count[Reconciles]++
		}
		if len(a.Accept.Rows)+int(a.Accept.Most) > 0 && err == nil {
			n.w.Stats.Count[Seconded]++
		}
		n.w.note("%s ends pull of %s, clock %v", n.name, a.Bucket, a.Claim)
	case syncer.Collect:
		var gone int
		gone, err = carry.Collect(n.store, n.wall(), a)
		n.w.Stats.Count[Stable] += gone
		n.w.note("%s collects %d rows of %s up to %s", n.name, gone, a.Bucket, a.Upto)
	case syncer.Wipe:
		wiped := n.wipe(a)
		ev, err = wiped, wiped.Err
	}
	if refused && !n.full {
		n.store.ClearReadOnly()
	}
	// Of a session given up, or of a repair that came too late.
	stale := errors.Is(err, store.ErrReconciling) || errors.Is(err, store.ErrOutOfOrder) || errors.Is(err, store.ErrMoved)
	if n.replica && errors.Is(err, store.ErrAmbiguous) {
		stale, n.refused = true, true
	}
	if _, doubtful := errors.AsType[*syncer.DoubtfulError](err); doubtful {
		stale = true
	}
	if !errors.Is(err, errFull) && !stale && n.holds(bucket) {
		n.reportGap(err)
	}
	n.fsync()
	if ev != nil {
		n.tell(ev)
	}
	n.heed(bucket)
	if n.applies[bucket] = list[done:]; len(list) > done {
		n.later(n.moment(), func() { n.applyNext(bucket) })
	}
}

// scrub reads the rows of a bucket, step by step.
func (n *Node) scrub(a syncer.Scrub, s *store.Scrub) {
	more, err := s.Step()
	if more && err == nil {
		n.later(n.moment(), func() { n.scrub(a, s) })
		return
	}
	n.w.Stats.Count[Scrubs]++
	n.w.Stats.Count[BadRows] += len(s.Found)
	n.w.note("%s has read %d rows of %s: %d bad, %d sums put right", n.name, s.Rows, a.Bucket, s.Bad, s.Fixed)
	if !errors.Is(err, errFull) && !errors.Is(err, store.ErrDropped) {
		n.report(err)
	}
	n.fsync()
	n.tell(syncer.Scrubbed{Bucket: a.Bucket, Soon: a.Soon, Err: err})
}

// merged notes what a merge has changed, and the writes it has made: those
// leave like any own write.
func (n *Node) merged(bucket string, a store.Applied, by road) {
	n.changed(bucket, a.Changes, by)
	n.hubs[bucket].QueueMerged(a)
	w := a.Reissued
	for _, e := range w.Entries {
		n.w.Stats.Count[Reissued]++
		if e.Tombstone {
			n.w.Stats.Count[DeletedAgain]++
		}
		n.w.ledger.issue(bucket, e)
		n.w.note("%s issues again %s/%q %s instead of %s", n.name, bucket, e.Key, e.Stamp, e.Prev)
	}
	if len(w.Entries) > 0 {
		n.waiting[bucket] = append(n.waiting[bucket], group{bucket, w})
	}
	n.release(bucket)
}

// tell gives the engine the end of an action a moment after it ended.
func (n *Node) tell(ev syncer.Event) { n.later(n.moment(), func() { n.step(ev) }) }

// moment is how long the disk takes. What is asked for first ends first.
func (n *Node) moment() time.Duration {
	end := n.w.now.Add(time.Duration(n.w.rnd.Int64N(int64(2*time.Millisecond))) + n.slow/10)
	if end.Before(n.diskFree) {
		end = n.diskFree
	}
	n.diskFree = end
	return end.Sub(n.w.now)
}

// reportGap fails the run unless the store only refused live messages after a
// gap: those that followed a refused one.
func (n *Node) reportGap(err error) {
	if err != nil && n.w.Stats.Count[Refusals] == 0 && !n.refused {
		n.report(err)
	}
}

// report fails the run: on this stage the store itself never fails.
func (n *Node) report(err error) {
	if err != nil {
		panic(fmt.Sprintf("simnet: %s: %v", n.name, err))
	}
}
