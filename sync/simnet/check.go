package simnet

import (
	"errors"
	"fmt"
	"slices"

	"replicator/oplog"
	"replicator/store"
)

// Check verifies what must hold at any moment: Cover on every node, and equal
// rows wherever clocks are equal and pure.
func (w *World) Check() error {
	for _, n := range w.nodes {
		if n.problem != nil {
			return n.problem
		}
	}
	for _, bucket := range w.cfg.Buckets {
		for _, n := range w.nodes {
			if err := errors.Join(w.checkCover(n, bucket), w.checkBatches(n, bucket), w.checkReplica(n, bucket)); err != nil {
				return err
			}
		}
		if err := w.checkEqual(bucket); err != nil {
			return err
		}
	}
	return nil
}

// checkEqual compares the rows of nodes that have the same clock and no extras,
// each with the first of its kind.
func (w *World) checkEqual(bucket string) error {
	var firsts []*Node
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		b, _ := n.store.Bucket(bucket)
		if len(b.Ahead()) > 0 {
			continue
		}
		clock := b.Clock()
		i := slices.IndexFunc(firsts, func(m *Node) bool {
			a, _ := m.store.Bucket(bucket)
			return a.Clock().Equal(clock)
		})
		if i < 0 {
			firsts = append(firsts, n)
			continue
		}
		a, _ := firsts[i].store.Bucket(bucket)
		if err := checkRows(firsts[i], n, a, b); err != nil {
			return err
		}
	}
	return nil
}

// checkCover: for each write that the clock covers, the node's row of that key
// is that write or one that beats it.
func (w *World) checkCover(n *Node, bucket string) error {
	if !n.up {
		return nil
	}
	b, _ := n.store.Bucket(bucket)
	clock := b.Clock()
	for key := range w.ledger.keys[bucket] {
		want := w.ledger.winner(bucket, key, clock)
		if want == nil {
			continue
		}
		row, ok, err := b.Get([]byte(key))
		if err != nil {
			return err
		}
		if collected(want, b) && (!ok || row.Tombstone) {
			continue
		}
		if !ok || row.Stamp.Less(want.Stamp) {
			return fmt.Errorf("cover: %s/%s key %q holds %s, its clock %v covers %s", n.name, bucket, key, row.Stamp, clock, want.Stamp)
		}
	}
	return nil
}

// collected reports whether the tombstone may have been dropped: then an older
// one that comes later is taken, for no reader sees either.
func collected(e *oplog.Entry, b *store.Bucket) bool {
	return e.Tombstone && e.Stamp.HLC <= b.Guard()
}

func checkRows(n, m *Node, a, b *store.Bucket) error {
	rows, err := rowsOf(a)
	if err != nil {
		return err
	}
	others, err := rowsOf(b)
	if err != nil {
		return err
	}
	if len(rows) != len(others) || a.Digest().Sum != b.Digest().Sum {
		return fmt.Errorf("equal clocks %v, but %s holds %d rows, %s %d", a.Clock(), n.name, len(rows), m.name, len(others))
	}
	for key, row := range rows {
		if other, ok := others[key]; !ok || !sameRow(&row, &other) {
			return fmt.Errorf("equal clocks, but key %q is %s at %s, %s at %s", key, row.Stamp, n.name, other.Stamp, m.name)
		}
	}
	return nil
}

func rowsOf(b *store.Bucket) (map[string]oplog.Entry, error) {
	snap, err := b.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { _ = snap.Close() }() // a read-only view of a map
	rows := map[string]oplog.Entry{}
	for e, err := range snap.Rows(nil, nil) {
		if err != nil {
			return nil, err
		}
		if e.Tombstone {
			continue // others may have collected it
		}
		rows[string(e.Key)] = e
	}
	return rows, nil
}

// AtRest verifies what must hold once a calm world has settled: all equal, all
// pure, every acknowledged write there or beaten, every row the winner of the
// reference model, every store consistent in itself.
func (w *World) AtRest() error {
	if err := w.Check(); err != nil {
		return err
	}
	for _, bucket := range w.cfg.Buckets {
		first, _ := w.nodes[0].store.Bucket(bucket)
		for _, n := range w.nodes {
			b, _ := n.store.Bucket(bucket)
			if !b.Clock().Equal(first.Clock()) || len(b.Ahead()) > 0 && !w.lostDisks() {
				return fmt.Errorf("at rest: %s/%s has clock %v ahead %v, %s has %v", n.name, bucket, b.Clock(), b.Ahead(), w.nodes[0].name, first.Clock())
			}
			if len(b.Ahead()) == 0 {
				if err := w.checkWinners(n, b, bucket); err != nil {
					return err
				}
			}
			if err := b.Check(); err != nil {
				return fmt.Errorf("store of %s: %w", n.name, err)
			}
		}
		if err := w.checkAlike(bucket); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) checkWinners(n *Node, b *store.Bucket, bucket string) error {
	clock := b.Clock()
	for key, writes := range w.ledger.keys[bucket] {
		for _, wr := range writes {
			if wr.acked && !clock.Covers(wr.entry.Dot()) {
				return fmt.Errorf("%s: acknowledged write %s of key %q is not covered", n.name, wr.entry.Dot(), key)
			}
		}
		want := w.ledger.winner(bucket, key, clock)
		row, ok, err := b.Get([]byte(key))
		if err != nil {
			return err
		}
		if want == nil {
			if ok {
				return fmt.Errorf("%s: key %q has a row %s that nobody wrote", n.name, key, row.Stamp)
			}
			continue
		}
		if collected(want, b) && (!ok || row.Tombstone) {
			continue
		}
		if !ok || !sameRow(&row, want) {
			return fmt.Errorf("%s: key %q is %s, the reference says %s", n.name, key, row.Stamp, want.Stamp)
		}
	}
	return nil
}

// Settled reports whether all nodes run and have equal durable digests.
func (w *World) Settled() bool {
	for _, bucket := range w.cfg.Buckets {
		var first oplog.Digest
		for i, n := range w.nodes {
			if !n.up {
				return false
			}
			b, _ := n.store.Bucket(bucket)
			d := b.Durable()
			if i == 0 {
				first = d
			}
			if !d.Same(first) || !b.Digest().Same(d) {
				return false
			}
		}
	}
	return true
}
