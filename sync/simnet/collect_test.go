package simnet_test

import (
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// oldTombstones counts the tombstones of a node that are older than age.
func oldTombstones(t *testing.T, w *simnet.World, i int, age time.Duration) (n int) {
	t.Helper()
	b, _ := w.Node(i).Store().Bucket("orders")
	for e, err := range b.Scan(store.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Tombstone && e.Stamp.HLC < oplog.HLCAt(w.Now().Add(-age)) {
			n++
		}
	}
	return n
}

// TestCollectsUnderConstantWrites: floors and clocks that never stand still are
// no reason to keep what everybody has.
func TestCollectsUnderConstantWrites(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{Nodes: 3, Buckets: []string{"orders"}})
	for i := range 3 {
		w.Node(i).Start()
	}
	for turn := range 6000 {
		n := w.Node(turn % 3)
		key := fmt.Appendf(nil, "%d", turn/6)
		n.Write("orders", store.Op{Key: key, Value: []byte("v")}, store.Op{Key: key, Delete: true})
		w.Run(400 * time.Millisecond)
	}
	if w.Stats.Count[simnet.Reissued]+w.Stats.Count[simnet.Reconciles] > 0 {
		t.Errorf("%d writes issued again, %d reconciles", w.Stats.Count[simnet.Reissued], w.Stats.Count[simnet.Reconciles])
	}
	for i := range 3 {
		if n := oldTombstones(t, w, i, 25*time.Minute); n > 0 {
			t.Errorf("%s holds %d old tombstones after %s of writes", w.Node(i).Name(), n, 40*time.Minute)
		}
	}
}

// TestSilentMemberHoldsCollectionUp, until it counts as evicted; then it comes
// back through a reconcile.
func TestSilentMemberHoldsCollectionUp(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{Nodes: 3, Buckets: []string{"orders"}, Tune: func(n *simnet.Node) {
		n.Options = syncer.Options{EvictAfter: 24 * time.Hour}
	}})
	for i := range 3 {
		w.Node(i).Start()
	}
	put(w, 0, "deleted")
	put(w, 1, "kept")
	w.Run(10 * time.Second)
	w.Node(2).Crash()
	w.Node(0).Write("orders", store.Op{Key: []byte("deleted"), Delete: true})
	w.Run(22 * time.Hour)
	for i := range 2 {
		w.Node(i).Crash() // members are remembered over a restart
		w.Node(i).Start()
	}
	w.Run(time.Hour)
	if n := oldTombstones(t, w, 0, time.Hour); n != 1 {
		t.Fatalf("%d tombstones while a member that lacks it is away, want 1", n)
	}
	w.Run(2 * time.Hour)
	if n := oldTombstones(t, w, 0, 0) + oldTombstones(t, w, 1, 0); n != 0 {
		t.Fatalf("%d tombstones after the member was evicted", n)
	}
	w.Node(2).Start()
	w.Run(10 * time.Second)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	b, _ := w.Node(2).Store().Bucket("orders")
	if e, ok, _ := b.Get([]byte("deleted")); ok && !e.Tombstone {
		t.Error("the deleted key is back")
	}
	if b.Keys() != 1 || w.Stats.Count[simnet.Reconciles] != 1 {
		t.Errorf("%d keys, %d reconciles, want 1 and 1", b.Keys(), w.Stats.Count[simnet.Reconciles])
	}
}

// TestAloneCollects: nobody else can lack what is deleted, and who comes later
// with an empty disk has nothing to judge.
func TestAloneCollects(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{Nodes: 1, Buckets: []string{"orders"}})
	w.Node(0).Start()
	put(w, 0, "k")
	w.Node(0).Write("orders", store.Op{Key: []byte("k"), Delete: true})
	w.Run(5 * time.Minute)
	if n := oldTombstones(t, w, 0, 0); n != 0 {
		t.Errorf("%d tombstones", n)
	}
}
