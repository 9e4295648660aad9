package simnet

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// The tables of the store in which rot looks for rows: buckets by number, rows by
// bucket and key. Two bytes before its stamp a row says whether it is a tombstone
// or expires.
const (
	tableBuckets = 0x03
	tableData    = 0x10
)

// Flip changes a bit of a row on the node's disk, behind the store's back: of its
// value, or its hash, where it is the last byte, of its stamp and what else it says
// of itself before. It does nothing unless some other node has the row on its disk:
// what only one disk held, and that disk loses, is lost.
func (n *Node) Flip(bucket, key string) bool {
	return n.damage(bucket, key, Flips, func(b store.Batch, at, row []byte) {
		row[n.w.rnd.IntN(len(row))] ^= 1 << n.w.rnd.IntN(8)
		b.Set(at, row)
	})
}

// Lose takes a row off the node's disk, as Flip does with a bit.
func (n *Node) Lose(bucket, key string) bool {
	return n.damage(bucket, key, LostRows, func(b store.Batch, at, _ []byte) { b.Delete(at) })
}

func (n *Node) damage(bucket, key string, kind Kind, do func(b store.Batch, at, row []byte)) bool {
	if !n.up || n.full || n.w.damaged[bucket+"/"+key] || !n.w.heldTwice(n, bucket, key) {
		return false
	}
	kv := n.kv
	at := append(binary.BigEndian.AppendUint32([]byte{tableData}, bucketID(kv, bucket)), key...)
	row, ok, err := kv.Get(at)
	n.report(err)
	if !ok {
		return false
	}
	batch := kv.NewBatch()
	do(batch, at, row)
	n.report(kv.Commit(batch))
	n.w.damaged[bucket+"/"+key] = true
	n.w.Stats.Count[kind]++
	n.w.note("%s: %s/%q at %s", kind, bucket, key, n.name)
	n.fsync()
	return true
}

func bucketID(kv store.KV, name string) (id uint32) {
	it, err := kv.Iter([]byte{tableBuckets}, []byte{tableBuckets + 1})
	if err != nil {
		panic("simnet: " + err.Error())
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		if string(it.Value()) == name {
			id = binary.BigEndian.Uint32(it.Key()[1:])
		}
	}
	return id
}

// heldTwice reports whether the row that n has of the key, a tombstone too, is on
// the disk of another node as well. Rows with an end are in no hash, so nobody can
// see that one is missing, or that the delete of one is: those are spared.
func (w *World) heldTwice(n *Node, bucket, key string) bool {
	mine, _ := n.store.Bucket(bucket)
	row, ok, err := mine.Get([]byte(key))
	if err != nil || !ok || row.Expiry != 0 || row.Tombstone && w.ledger.ends(bucket, key) || !mine.Covers(row.Dot()) {
		return false
	}
	for _, m := range w.nodes {
		if m == n || !m.holds(bucket) {
			continue
		}
		b, _ := m.store.Bucket(bucket)
		other, ok, err := b.Get([]byte(key))
		if err == nil && ok && other.Stamp == row.Stamp && b.DurableCovers(row.Dot()) {
			return true
		}
	}
	return false
}

// rot damages a row of the node.
func (w *World) rot(n *Node, rnd *rand.Rand) {
	op, bucket := w.op(rnd), w.bucket(rnd)
	if rnd.IntN(2) == 0 {
		n.Flip(bucket, string(op.Key))
	} else {
		n.Lose(bucket, string(op.Key))
	}
}

// Scrub has the node read all rows of a bucket, as it does each day.
func (n *Node) Scrub(bucket string) { n.step(syncer.ScrubNow{Bucket: bucket}) }

// spared reports whether a check leaves a key out: a row of it was damaged
// somewhere, and it is not yet at rest.
func (w *World) spared(bucket, key string) bool { return w.damaged[bucket+"/"+key] }

// sound reports whether every store is consistent in itself again. A row that was
// replaced behind a scrub may leave its log row for the next one: in the place of
// tomorrow's, another comes soon.
func (w *World) sound() bool {
	if w.consistent() {
		return true
	}
	if w.now.Sub(w.mended) > 10*time.Second {
		w.repair()
	}
	return false
}

func (w *World) consistent() bool {
	for _, n := range w.nodes {
		for _, bucket := range w.cfg.Buckets {
			if b, _ := n.store.Bucket(bucket); b.Check() != nil {
				return false
			}
		}
	}
	return true
}

// repair asks every node for what verify --deep --repair asks for.
func (w *World) repair() {
	w.mended = w.now
	for _, n := range w.nodes {
		for _, bucket := range w.cfg.Buckets {
			n.step(syncer.RepairNow{Bucket: bucket})
		}
	}
}

// unlessRot leaves out that a row is not what was written, before all is at rest.
func (w *World) unlessRot(err error) error {
	if store.IsCorrupt(err) && !w.quiet {
		return nil
	}
	return err
}

// lostByRot reports whether the write may be gone though it was acknowledged: a
// row of its key was lost, and a node that had it was taught by one that had not.
func (w *World) lostByRot(bucket string, e *oplog.Entry) bool {
	return w.spared(bucket, string(e.Key)) && w.Stats.Count[Reconciles] > 0
}
