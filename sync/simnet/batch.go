package simnet

import (
	"fmt"
	"math/rand/v2"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// together makes one atomic batch of the operations, now and then.
func together(rnd *rand.Rand, ops []store.Op) []store.Op {
	if len(ops) > 1 && rnd.IntN(2) == 0 {
		ops[0].Batch = len(ops)
	}
	return ops
}

// countBatch counts the atomic batches of a group.
func (n *Node) countBatch(w store.Written) {
	for i := range w.Entries {
		if e := &w.Entries[i]; e.BatchBack == 0 && e.BatchAhead > 0 {
			n.w.Stats.Count[Batches]++
		}
	}
}

// A tearing says since when a bucket may hold a part of a batch: a pull in key
// order brought rows, or one from a donor that was in such a state itself.
type tearing struct {
	on   bool
	last time.Time // when it was on
}

// tears notes a page that may bring parts of batches. It is one in key order, or
// of a donor that held parts while the pull ran.
func (n *Node) tears(a syncer.ApplyPage) {
	torn := a.Token != nil
	if !torn {
		for _, m := range n.w.named(n.donors[a.Session]) {
			t := m.torn[a.Bucket]
			torn = torn || t.on || !t.last.Before(n.w.now.Add(-tornMemory))
		}
	}
	if torn {
		n.torn[a.Bucket] = tearing{on: true, last: n.w.now}
	}
}

// tornAgain notes that a crash may have brought back a state before the end of a
// pull in key order.
func (n *Node) tornAgain() {
	for bucket, t := range n.torn {
		t.on = true
		n.torn[bucket] = t
	}
}

// mayTear notes that the disk is another one, which may hold parts of batches.
func (n *Node) mayTear() {
	for _, bucket := range n.w.cfg.Buckets {
		n.torn[bucket] = tearing{on: true, last: n.w.now}
	}
}

// tornMemory is how long ago a donor may have held parts of batches for a page
// of it to bring some: a snapshot lives as long as its session.
const tornMemory = 2 * time.Minute

// checkBatches verifies that a node which holds one write of an atomic batch
// holds the others, or what beat them. While it takes a pull, and is not pure,
// what beat them may come a page later.
func (w *World) checkBatches(v view) error {
	n, b, bucket := v.node, v.bucket, v.bucket.Name()
	if t := n.torn[bucket]; t.on {
		t.last = w.now
		if t.on = len(b.Ahead()) > 0 || b.Reconciling(); t.on {
			n.torn[bucket] = t
			return nil
		}
		n.torn[bucket] = t
	}
	for _, row := range v.rows {
		if row.BatchBack+row.BatchAhead == 0 {
			continue
		}
		if err := w.checkBatch(v, &row); err != nil {
			return err
		}
	}
	return nil
}

// beaten reports whether a later write of the key exists: a donor that has it
// sends it in place of e, perhaps with another page than the rest of e's batch.
func (l *Ledger) beaten(bucket string, e *oplog.Entry) bool {
	for _, w := range l.keys[bucket][string(e.Key)] {
		if e.Stamp.Less(w.entry.Stamp) {
			return true
		}
	}
	return false
}

func (w *World) checkBatch(v view, row *oplog.Entry) error {
	n, b := v.node, v.bucket
	first := row.Stamp.Seq - uint64(row.BatchBack)
	for seq := first; seq <= row.Stamp.Seq+uint64(row.BatchAhead); seq++ {
		part := w.ledger.writes[b.Name()][oplog.Dot{Origin: row.Stamp.Origin, Seq: seq}]
		if part == nil {
			return fmt.Errorf("batch: %s holds %s of a batch from %d on, but %d was never written", n.name, row.Stamp, first, seq)
		}
		if !v.whole && w.spared(b.Name(), string(part.entry.Key)) {
			continue
		}
		other, ok := v.rows[string(part.entry.Key)]
		forgotten := part.entry.Stamp.HLC <= b.Guard() && (!ok || other.Tombstone)
		late := len(b.Ahead()) > 0 && w.ledger.beaten(b.Name(), &part.entry)
		if other.Stamp.Less(part.entry.Stamp) && !forgotten && !late {
			return fmt.Errorf("batch: %s/%s holds %q of a batch, but %s for %q, of which %s is a part", n.name, b.Name(), row.Key, other.Stamp, part.entry.Key, part.entry.Stamp)
		}
	}
	return nil
}
