package simnet

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"replicator/oplog"
)

// An account is what a reader made of what it was told, and what it checks of it.
type account struct {
	// knows is what it was told last of each key, deletes too.
	knows map[string]oplog.Entry
	clock oplog.Clock // of the last mark

	// Of the stay.
	begun  oplog.Clock            // of the token it came with
	behind bool                   // it was told what may be older than what it had
	told   map[oplog.Dot]bool     // all that it was told
	keys   map[string]oplog.Entry // the last of each key
	at     int                    // of what the node has queued, up to where it was told
}

// sit begins a stay with a token of that clock.
func (a *account) sit(begun oplog.Clock) {
	a.begun, a.behind, a.told, a.keys = begun, false, map[oplog.Dot]bool{}, map[string]oplog.Entry{}
}

// hear takes an event, and blames the node for one that was told before, or that comes
// too early, or too late.
func (r *reader) hear(e *oplog.Entry) {
	r.w.Stats.Count[Told]++
	if r.w.Trace != nil {
		r.w.note("%s is told %q tombstone=%v %s", r.name, e.Key, e.Tombstone, e.Stamp)
	}
	if !r.behind && r.watch.Behind() {
		r.w.Stats.Count[ToldOlder]++
		r.mark(false) // its token goes back
	}
	r.behind = r.watch.Behind()
	key := string(e.Key)
	if err := r.doubts(key, e); err != nil && !r.w.spared(r.bucket, key) {
		r.node.blame(fmt.Errorf("%s at %s is told %s of %q %w", r.name, r.node.name, e.Stamp, key, err))
	}
	r.told[e.Dot()], r.keys[key], r.knows[key] = true, *e, *e
}

func (r *reader) doubts(key string, e *oplog.Entry) error {
	b, _ := r.node.store.Bucket(r.bucket)
	if e.Stamp.Origin == b.Origin() && !b.DurableCovers(e.Dot()) {
		return errors.New("which is not on the disk")
	}
	before, held := r.keys[key]
	if !held {
		before, held = r.knows[key]
	}
	removed := held && e.Tombstone && e.Stamp == before.Stamp && !before.Tombstone
	if removed || r.node.back[r.bucket][e.Dot()] {
		return nil // by a reconcile, which may take a row away, or put an older one in its place
	}
	if r.begun.Covers(e.Dot()) && !r.watch.Behind() {
		return errors.New("which it had when it came")
	}
	before, held = r.keys[key]
	late := held && e.Stamp.Less(before.Stamp)
	switch {
	case late && mayGo(&before) && e.Tombstone:
		return nil // older than what was collected: it is taken, for nobody sees it
	case r.told[e.Dot()]:
		return errors.New("twice")
	case late:
		return fmt.Errorf("after %s", before.Stamp)
	}
	return nil
}

// follows wants the changes of the node one after the other.
func (r *reader) follows(e *oplog.Entry) {
	switch queued := r.node.queued[r.bucket]; {
	case r.at >= len(queued):
		r.node.blame(fmt.Errorf("%s at %s is told %s, which has not changed", r.name, r.node.name, e.Dot()))
	case queued[r.at] != e.Dot():
		r.node.blame(fmt.Errorf("%s at %s is told %s, and not %s before it", r.name, r.node.name, e.Dot(), queued[r.at]))
	default:
		r.at++
	}
}

// mark takes a token, and blames the node for one that covers what the reader was not
// told.
func (r *reader) mark(caughtUp bool) {
	r.w.Stats.Count[Marks]++
	before := r.clock
	r.token, r.clock = r.watch.Token(), r.watch.Position().Clone()
	if !r.clock.GE(before) && !r.watch.Behind() {
		r.node.blame(fmt.Errorf("%s at %s: its token went back from %v to %v", r.name, r.node.name, before, r.clock))
	}
	if !caughtUp && r.w.reading.IntN(4) > 0 {
		return // it takes time
	}
	for key := range r.w.ledger.keys[r.bucket] {
		if err := r.lacks(key); err != nil && !r.w.spared(r.bucket, key) {
			r.node.blame(fmt.Errorf("%s at %s has a token of %v: %w", r.name, r.node.name, r.clock, err))
		}
	}
}

// lacks reports a write under the token that the reader was not told, nor one that
// beat it. Of a key that is deleted it may know nothing.
func (r *reader) lacks(key string) error {
	want := r.w.ledger.winner(r.bucket, key, r.clock)
	if want == nil {
		return nil
	}
	known, held := r.knows[key]
	switch {
	case held && !known.Stamp.Less(want.Stamp), mayGo(want) && (!held || mayGo(&known)):
		return nil
	case !held && r.w.ledger.goes(r.bucket, key, want.Stamp):
		return nil // by a delete that the token does not cover, or that was collected
	}
	return fmt.Errorf("it was told %s of %q, and not %s", known.Stamp, key, want.Stamp)
}

// goes reports whether a later write of the key was a delete, or has an end.
func (l *Ledger) goes(bucket, key string, after oplog.Stamp) bool {
	return slices.ContainsFunc(l.keys[bucket][key], func(w *write) bool { return mayGo(&w.entry) && after.Less(w.entry.Stamp) })
}

// checkReaders verifies that little is kept for readers who do not read.
func (w *World) checkReaders(n *Node, bucket string) error {
	limits := w.cfg.Watch
	pending, events, bytes := n.hubs[bucket].Held()
	if events > limits.Events || bytes > limits.Bytes+maxWaiting || pending > 0 && !n.syncing && !n.dirty {
		return fmt.Errorf("%s/%s keeps %d changes for readers until the disk has them, and for one of them %d events of %d bytes", n.name, bucket, pending, events, bytes)
	}
	return nil
}

// maxWaiting is more than the largest entry of a history.
const maxWaiting = 8192

// drain wakes all readers and wants each to know every row as it is where it reads.
func (w *World) drain() error {
	for _, r := range w.readers {
		r.awake = time.Time{}
	}
	drained := func() bool {
		return !slices.ContainsFunc(w.readers, func(r *reader) bool { return !r.quiet() })
	}
	if !w.RunUntil(w.now.Add(time.Minute), drained) {
		return errors.New("readers: not all has been told within a minute")
	}
	for _, r := range w.readers {
		if err := r.check(); err != nil {
			return fmt.Errorf("%s at %s: %w", r.name, r.node.name, err)
		}
	}
	return w.Check()
}

// resume has all readers go elsewhere with what they have.
func (w *World) resume() error {
	for _, r := range w.readers {
		r.leave()
	}
	return w.drain()
}

// check compares what the reader knows with the rows.
func (r *reader) check() error {
	v, err := r.node.view(r.bucket, true)
	if err != nil {
		return err
	}
	for key, writes := range r.w.ledger.keys[r.bucket] {
		if r.w.spared(r.bucket, key) {
			continue
		}
		known, held := r.knows[key]
		lost := slices.ContainsFunc(writes, func(w *write) bool { return !v.clock.Covers(w.entry.Dot()) })
		if lost && (r.w.lostDisks() || r.w.Stats.Count[Ordered] > 0) {
			continue // with its disk: it may have been told of it
		}
		if held && !v.clock.Covers(known.Dot()) {
			return fmt.Errorf("it was told %s of %q, which nobody has", known.Stamp, key)
		}
		if err := r.compare(v, key); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) compare(v view, key string) error {
	row, there := v.rows[key]
	known, held := r.knows[key]
	now, even := r.node.wall(), r.w.cfg.Skew == 0 && !r.w.cfg.Steps
	switch {
	case there && !mayGo(&row) || there && even && row.Live(now):
		if !held || known.Stamp != row.Stamp || known.Tombstone {
			return fmt.Errorf("%q is %s, it was told %s tombstone=%v", key, row.Stamp, known.Stamp, known.Tombstone)
		}
	case held && known.Live(now) && (known.Expiry == 0 || even):
		return fmt.Errorf("%q is gone, or has an end: %s; it was told %s", key, row.Stamp, known.Stamp)
	}
	return nil
}
