package simnet

import (
	"fmt"

	"replicator/oplog"
	"replicator/store"
)

// Collect drops every tombstone that the node covers, whoever may not have it:
// forced collection, rule G5.
func (n *Node) Collect(bucket string) {
	if !n.up {
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
func (n *Node) Backup() { n.backup = n.disk.Clone() }

// Restore ends the node as a power cut does and gives it back the disk of the
// last Backup.
func (n *Node) Restore() {
	if n.backup == nil {
		return
	}
	n.Crash()
	n.disk = n.backup.Clone()
	n.disk.Crash(0)
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
		if n == lost || !n.up {
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
	for _, n := range w.nodes[1:] {
		a, _ := w.nodes[0].store.Bucket(bucket)
		b, _ := n.store.Bucket(bucket)
		if !a.Ahead().Equal(b.Ahead()) {
			return fmt.Errorf("at rest: %s/%s holds extras %v, %s %v", n.name, bucket, b.Ahead(), w.nodes[0].name, a.Ahead())
		}
		if err := checkRows(w.nodes[0], n, a, b); err != nil {
			return err
		}
	}
	return nil
}
