package simnet

import (
	"fmt"

	"replicator/oplog"
	"replicator/store"
)

// Check verifies what must hold at any moment: Cover on every node, watchers
// that know each row, clocks that only go forward, and equal rows wherever clocks
// are equal and pure.
func (w *World) Check() error {
	for _, n := range w.nodes {
		if n.problem != nil {
			return n.problem
		}
	}
	for _, bucket := range w.cfg.Buckets {
		var views []view
		for _, n := range w.nodes {
			if !n.holds(bucket) {
				continue
			}
			v, err := n.view(bucket, false)
			if err != nil {
				return err
			}
			if err := checkForward(v); err != nil {
				return err
			}
			if err := w.checkReaders(n, bucket); err != nil {
				return err
			}
			if v.broken {
				continue
			}
			for _, check := range []func(view) error{w.checkCover, checkWitness, w.checkBatches, checkReplica} {
				if err := check(v); err != nil {
					return err
				}
			}
			if views, err = compareView(views, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// A view is a bucket of a node as it is now.
type view struct {
	node   *Node
	bucket *store.Bucket
	clock  oplog.Clock
	rows   map[string]oplog.Entry // tombstones included
	live   int                    // rows that no node may drop
	whole  bool                   // no damaged rows were left out
	broken bool                   // a damaged row ended the scan
}

// view scans a bucket, without the rows that were damaged unless all are asked
// for.
func (n *Node) view(bucket string, all bool) (view, error) {
	w := n.w
	b, _ := n.store.Bucket(bucket)
	v := view{node: n, bucket: b, clock: b.Clock(), rows: map[string]oplog.Entry{}, whole: all || len(w.damaged) == 0}
	for e, err := range b.Scan(store.ScanOptions{}) {
		if err != nil {
			v.broken = true
			return v, w.unlessRot(err)
		}
		if w.spared(bucket, string(e.Key)) && !all {
			continue
		}
		if v.rows[string(e.Key)] = e; !mayGo(&e) {
			v.live++
		}
	}
	return v, nil
}

// compareView compares v with one of the views that has the same clock and no
// extras, or adds it to them.
func compareView(views []view, v view) ([]view, error) {
	if len(v.bucket.Ahead()) > 0 {
		return views, nil
	}
	for _, other := range views {
		if other.clock.Equal(v.clock) {
			return views, checkRows(other, v)
		}
	}
	return append(views, v), nil
}

// checkCover: for each write that the clock covers, the node's row of that key
// is that write or one that beats it.
func (w *World) checkCover(v view) error {
	bucket := v.bucket.Name()
	for key := range w.ledger.keys[bucket] {
		want := w.ledger.winner(bucket, key, v.clock)
		if want == nil || w.spared(bucket, key) {
			continue
		}
		row, ok := v.rows[key]
		if collected(want, v.bucket) && (!ok || row.Tombstone) {
			continue
		}
		if !ok || row.Stamp.Less(want.Stamp) {
			return fmt.Errorf("cover: %s/%s key %q holds %s, its clock %v covers %s", v.node.name, bucket, key, row.Stamp, v.clock, want.Stamp)
		}
	}
	return nil
}

// collected reports whether the tombstone, or the expired row, may have been
// dropped: then an older one that comes later is taken, for no reader sees
// either.
func collected(e *oplog.Entry, b *store.Bucket) bool {
	return mayGo(e) && e.Stamp.HLC <= b.Guard()
}

// mayGo reports whether nodes drop the row some day, each at its own time.
func mayGo(e *oplog.Entry) bool { return e.Tombstone || e.Expiry > 0 }

// checkRows leaves out what nodes drop: one of the nodes may have collected them.
func checkRows(v, other view) error {
	if v.live != other.live || v.whole && v.bucket.Digest().Sum != other.bucket.Digest().Sum {
		return fmt.Errorf("equal clocks %v, but %s holds %d rows, %s %d", v.clock, v.node.name, v.live, other.node.name, other.live)
	}
	for key, row := range v.rows {
		if mayGo(&row) {
			continue
		}
		if o, ok := other.rows[key]; !ok || !sameRow(&row, &o) {
			return fmt.Errorf("equal clocks, but key %q is %s at %s, %s at %s", key, row.Stamp, v.node.name, o.Stamp, other.node.name)
		}
	}
	return nil
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
		if len(writes) > 0 && w.lostByRot(bucket, &writes[0].entry) {
			continue
		}
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
		lost := want.Tombstone && w.spared(bucket, key) // with its disk; to readers that is as if it were collected
		if (lost || collected(want, b)) && (!ok || row.Tombstone) {
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
			if !n.holds(bucket) || n.parting[bucket] {
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
	return len(w.damaged) == 0 || w.sound()
}
