package simnet

import (
	"errors"
	"fmt"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// Collect drops every tombstone that the node covers, whoever may not have it:
// forced collection, rule G5.
func (n *Node) Collect(bucket string) {
	if !n.holds(bucket) || n.full {
		return
	}
	b, _ := n.store.Bucket(bucket)
	c, err := b.Collect(n.wall(), store.CollectOptions{Force: true, Upto: 1 << 63, Limit: 1 << 20})
	n.report(err)
	n.w.Stats.Count[Forced] += c.Tombstones
	n.w.note("%s collects %d tombstones of %s", n.name, c.Tombstones, bucket)
	n.fsync()
}

// Backup keeps a copy of the node's disk for Restore.
func (n *Node) Backup() { n.backup = n.disk.image() }

// Restore ends the node as a power cut does and gives it back the disk of the
// last Backup.
func (n *Node) Restore() {
	if n.backup == nil {
		return
	}
	n.Crash()
	n.disk.end()
	n.disk = n.backup.image()
	clear(n.marks)
	n.mayTear()
	n.w.Stats.Count[Restores]++
	n.w.ledger.forget(n)
	n.w.note("%s gets an older disk back", n.name)
}

// forget takes back the acknowledgement of writes that no disk but that of lost
// is known to hold: they died with it.
func (l *Ledger) forget(lost *Node) {
	for _, bucket := range lost.w.cfg.Buckets {
		for dot, wr := range l.writes[bucket] {
			if wr.acked && !lost.w.survives(lost, bucket, dot) {
				wr.acked = false
			}
		}
	}
}

func (w *World) survives(lost *Node, bucket string, dot oplog.Dot) bool {
	for _, n := range w.nodes {
		if n == lost || !n.holds(bucket) {
			continue
		}
		if b, _ := n.store.Bucket(bucket); b.DurableClock().Covers(dot) {
			return true
		}
	}
	return false
}

// checkAlike: after an older disk came back a write may be missing for good
// that lies below another which is not. Clocks stay impure then; rows are equal
// all the same.
func (w *World) checkAlike(bucket string) error {
	first, err := w.nodes[0].view(bucket, true)
	if err != nil {
		return err
	}
	for _, n := range w.nodes[1:] {
		v, err := n.view(bucket, true)
		if err != nil {
			return err
		}
		if a, b := first.bucket.Ahead(), v.bucket.Ahead(); !a.Equal(b) {
			return fmt.Errorf("at rest: %s/%s holds extras %v, %s %v", n.name, bucket, b, first.node.name, a)
		}
		if err := checkRows(first, v); err != nil {
			return err
		}
	}
	return nil
}

// Copy starts a copy of the node's disk under the node's name, as a machine that
// was cloned does. It ends with Calm.
func (n *Node) Copy() {
	w := n.w
	c := newNode(w, len(w.nodes))
	c.name, c.codec, c.Options, c.replica, c.policy, c.clone = n.name, n.codec, n.Options, n.replica, n.policy, true
	c.disk.end()
	c.disk, c.life = n.disk.image(), 1
	c.mayTear()
	w.nodes = append(w.nodes, c)
	w.Stats.Count[Clones]++
	w.note("%s is copied", n.name)
	c.Start()
}

// retireClones ends the copies. What only they had is lost with them.
func (w *World) retireClones() {
	kept := w.nodes[:0:0]
	var gone []*Node
	for _, n := range w.nodes {
		if n.clone {
			n.Crash()
			gone = append(gone, n)
		} else {
			kept = append(kept, n)
		}
	}
	for _, n := range gone {
		n.disk.end()
		w.ledger.forget(n)
	}
	w.nodes = kept
}

// SetClock sets the node's wall clock to differ from the world's by skew.
func (n *Node) SetClock(skew time.Duration) {
	n.skew = skew
	n.w.Stats.Count[ClockSteps]++
	n.w.note("the clock of %s is set to %s", n.name, n.wall().UTC().Format(time.RFC3339))
}

// Fill makes the disk full until the world heals.
func (n *Node) Fill() {
	if !n.up || n.full {
		return
	}
	n.full = true
	n.store.SetReadOnly(errFull)
	n.w.Stats.Count[FullDisks]++
	n.w.note("the disk of %s is full", n.name)
}

// Brake makes the disk slow until the world heals.
func (n *Node) Brake(d time.Duration) {
	n.slow = d
	n.w.Stats.Count[SlowDisks]++
	n.w.note("the disk of %s takes %s longer", n.name, d)
}

// ease ends Fill and Brake.
func (n *Node) ease() {
	n.slow = 0
	if n.full && n.up {
		n.store.ClearReadOnly()
	}
	n.full = false
}

// mustRefuse blames a full disk that took a write.
func (n *Node) mustRefuse(err error) {
	if err == nil {
		n.blame(fmt.Errorf("%s: a full disk took a write", n.name))
	} else if !errors.Is(err, errFull) {
		n.blame(fmt.Errorf("%s: a write to a full disk was answered with %w", n.name, err))
	}
}

// Delay makes a link slow until the world heals.
func (w *World) Delay(from, to int, d time.Duration) {
	w.slow[[2]int{from, to}] = d
	w.Stats.Count[SlowLinks]++
	w.note("%s -> %s takes %s longer", w.nodes[from].name, w.nodes[to].name, d)
}

// maybeCutPage cuts a link behind a page that is on its way, so that pulls end
// after any of them.
func (w *World) maybeCutPage(from, to int, m oplog.Message) {
	if _, page := m.(*oplog.Page); !page || w.quiet || w.cfg.CutPages == 0 || w.rnd.Float64() >= w.cfg.CutPages {
		return
	}
	w.Stats.Count[CutPages]++
	w.after(w.cfg.DelayMax, func() {
		if !w.quiet {
			w.Part(from, to)
		}
	})
}

// countEviction counts a collection that does not wait for some node any more.
func (n *Node) countEviction() {
	for _, m := range n.w.nodes {
		if !m.up && m.evicted() {
			n.w.Stats.Count[Evictions]++
			return
		}
	}
}

// countReturn counts a start of a node that the others did not wait for.
func (n *Node) countReturn() {
	if n.evicted() {
		n.w.Stats.Count[Returns]++
	}
}

// evicted reports whether the node has been down for so long that it does not
// count any more.
func (n *Node) evicted() bool {
	return n.Options.EvictAfter > 0 && !n.away.IsZero() && n.w.now.Sub(n.away) > n.Options.EvictAfter
}
