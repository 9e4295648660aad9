package syncer

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"replicator/oplog"
)

// A heldLive waits for what came before it.
type heldLive struct {
	message *oplog.Live
	size    int
}

const (
	gapJitter = 50 * time.Millisecond
	// maxBehind bounds of how many origins the engine remembers that they are
	// behind; heartbeats tell again of any it forgets.
	maxBehind = 4096
)

// NewLive makes the live message of one commit group: the entries that no later
// one of the group overwrote if they fit into limit bytes, else an announcement.
// It is nil for an empty group.
func NewLive(bucket string, nonce oplog.Nonce, entries []oplog.Entry, first, last oplog.Seq, origin oplog.Origin, limit int) *oplog.Live {
	if last < first || first == 0 {
		return nil
	}
	entries = survivors(entries)
	m := &oplog.Live{Bucket: bucket, Origin: origin, First: first, Last: last, Nonce: nonce, Entries: entries}
	size := 0
	for i := range entries {
		size += entries[i].Size()
	}
	if size > limit {
		m.Entries, m.Size = nil, uint64(size)
	}
	return m
}

// hearLive applies a message that continues the clock, ignores one that is
// covered and holds one that comes after a gap: L2 of the protocol. The clock
// never jumps.
func (e *Engine) hearLive(from string, m *oplog.Live, size int) {
	if from == e.self.Node {
		e.hearOwnName(m.Nonce, nil)
		return
	}
	if p := e.peers[from]; p != nil {
		p.spoke = e.now
	}
	if !e.holds(m.Bucket) {
		e.meet(m.Bucket)
		return
	}
	b := e.bucket(m.Bucket)
	covered := e.covered(b, m.Origin)
	switch {
	case m.Last <= covered:
	case m.Announced() || b.reconciling:
		e.remember(b, m.Origin, m.Last)
		e.wantGap(b, from)
	case m.First > covered+1:
		e.hold(b, m, size)
		e.wantGap(b, from)
	case b.queuedBytes+size > e.opt.ApplyBuffer && b.queuedBytes > 0:
		e.hold(b, m, size)
	default:
		e.applyLive(b, m, size)
		e.replay(b)
	}
}

// survivors leaves out what a later entry of the same group overwrote.
func survivors(entries []oplog.Entry) []oplog.Entry {
	latest := make(map[string]int, len(entries))
	for i := range entries {
		latest[string(entries[i].Key)] = i
	}
	if len(latest) == len(entries) {
		return entries
	}
	kept := make([]oplog.Entry, 0, len(latest))
	for i := range entries {
		if latest[string(entries[i].Key)] == i {
			kept = append(kept, entries[i])
		}
	}
	return kept
}

func (e *Engine) applyLive(b *bucket, m *oplog.Live, size int) {
	b.queued[m.Origin] = m.Last
	b.queuedBytes += size
	e.do(ApplyLive{Bucket: b.name, Message: m, Size: size})
}

// hold keeps a message until what came before it is here. On overflow the
// bucket is catching up: it only remembers how far the writers are, until a
// pull begins. What comes during the pull continues what the pull brings, if it
// fits, and the bucket is live again.
func (e *Engine) hold(b *bucket, m *oplog.Live, size int) {
	if b.dropping {
		e.remember(b, m.Origin, m.Last)
		return
	}
	list := b.held[m.Origin]
	i, found := slices.BinarySearchFunc(list, m.First, func(h heldLive, first oplog.Seq) int {
		return cmp.Compare(h.message.First, first)
	})
	if found {
		return
	}
	if b.heldBytes+size > e.opt.GapBuffer {
		e.overflow(b, m)
		return
	}
	b.held[m.Origin] = slices.Insert(list, i, heldLive{m, size})
	b.heldBytes += size
}

func (e *Engine) overflow(b *bucket, m *oplog.Live) {
	first := !b.catchingUp
	b.catchingUp, b.dropping = true, true
	e.remember(b, m.Origin, m.Last)
	for o, list := range b.held {
		e.remember(b, o, list[len(list)-1].message.Last)
	}
	clear(b.held)
	b.heldBytes = 0
	if first {
		e.do(Raise{Kind: EventCatchingUp, Bucket: b.name, Text: "bucket " + b.name + " is catching up: writes come faster than they are taken"})
	}
	e.wantGap(b, m.Origin.Node)
}

// giveUp forgets what was heard of and cannot be had, if there is any.
func (e *Engine) giveUp(b *bucket) {
	clear(b.held)
	b.heldBytes = 0
	clear(b.behind)
	e.settle(b)
}

func (e *Engine) remember(b *bucket, o oplog.Origin, last oplog.Seq) {
	if _, known := b.behind[o]; known || len(b.behind) < maxBehind {
		b.behind[o] = max(b.behind[o], last)
	}
}

// replay applies held messages that continue the clock now and drops those
// that are covered.
func (e *Engine) replay(b *bucket) {
	if b.reconciling {
		return
	}
	for _, o := range slices.SortedFunc(maps.Keys(b.held), oplog.Origin.Compare) {
		list := b.held[o]
		for len(list) > 0 {
			h := list[0]
			covered := e.covered(b, o)
			full := b.queuedBytes+h.size > e.opt.ApplyBuffer && b.queuedBytes > 0
			if h.message.Last > covered && (h.message.First > covered+1 || full) {
				break
			}
			if h.message.Last > covered {
				e.applyLive(b, h.message, h.size)
			}
			b.heldBytes -= h.size
			list = list[1:]
		}
		if b.held[o] = list; len(list) == 0 {
			delete(b.held, o)
		}
	}
}

func (e *Engine) liveApplied(ev LiveApplied) {
	b := e.bucket(ev.Bucket)
	b.queuedBytes -= ev.Size
	if ev.Err != nil {
		// Nothing of it is in the store: what is heard next has a gap before it.
		clear(b.queued)
		if e.refusedAsReplica(b, ev.Err) {
			return
		}
		b.reconciling = b.reconciling || e.halfReconciled(b.name) // by a page of a session given up
		e.retry(b, "", e.backoff(b))
		return
	}
	if b.queuedBytes == 0 {
		clear(b.queued)
	}
	e.replay(b)
	e.settle(b)
}

// backoff returns the pause after a failure, doubling, with full jitter on the
// upper half.
func (e *Engine) backoff(b *bucket) time.Duration {
	b.backoff = min(max(2*b.backoff, 250*time.Millisecond), e.opt.BackoffMax)
	return b.backoff/2 + e.jitter(b.backoff/2)
}
