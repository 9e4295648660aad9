package simnet_test

import (
	"testing"
	"time"

	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// replicaWorld is two masters and a replica.
func replicaWorld(t *testing.T, o syncer.Options) *simnet.World {
	t.Helper()
	const masters = 2
	w := simnet.NewWorld(1, simnet.Config{
		Nodes: masters + 1, Replicas: 1, Buckets: []string{"orders"}, Tune: func(n *simnet.Node) { n.Options = o },
	})
	t.Cleanup(w.End)
	for i := range masters + 1 {
		w.Node(i).Start()
	}
	w.Run(5 * time.Second)
	return w
}

func row(t *testing.T, w *simnet.World, i int, key string) string {
	t.Helper()
	b, _ := w.Node(i).Store().Bucket("orders")
	e, ok, err := b.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if !ok || e.Tombstone {
		return "-"
	}
	return string(e.Value)
}

// TestScenario41ReplicaLag: a replica that is away holds collection up for a day, not for
// thirty. It comes back through a reconcile and writes nothing. Scenario 41.
func TestScenario41ReplicaLag(t *testing.T) {
	w := replicaWorld(t, syncer.Options{})
	put(w, 0, "deleted")
	put(w, 1, "kept")
	w.Run(10 * time.Second)
	w.Node(2).Crash()
	w.Node(0).Write("orders", store.Op{Key: []byte("deleted"), Delete: true})
	w.Run(20 * time.Hour)
	if n := oldTombstones(t, w, 0, time.Hour); n != 1 {
		t.Fatalf("%d tombstones while the replica is away for 20 hours, want 1", n)
	}
	w.Run(6 * time.Hour)
	if n := oldTombstones(t, w, 0, time.Hour) + oldTombstones(t, w, 1, time.Hour); n != 0 {
		t.Fatalf("%d tombstones after the replica was away for more than a day", n)
	}
	put(w, 0, "meanwhile")
	w.Node(2).Start()
	w.Run(time.Minute)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	if row(t, w, 2, "deleted") != "-" || row(t, w, 2, "kept") == "-" || row(t, w, 2, "meanwhile") == "-" {
		t.Error("the replica is not as the others are")
	}
	if n := w.Stats.Count; n[simnet.Reconciles] != 1 || n[simnet.Reissued] != 0 || n[simnet.Wipes] != 0 {
		t.Errorf("%d reconciles, %d writes issued again, %d wipes", n[simnet.Reconciles], n[simnet.Reissued], n[simnet.Wipes])
	}
}

// TestReplicaPassesOnWhatItHas: it is a donor like any other.
func TestReplicaPassesOnWhatItHas(t *testing.T) {
	w := replicaWorld(t, syncer.Options{})
	w.Part(0, 1)
	put(w, 0, "left")
	put(w, 1, "right")
	w.Run(30 * time.Second)
	if row(t, w, 1, "left") == "-" || row(t, w, 0, "right") == "-" {
		t.Error("masters that only the replica reaches do not hear of each other")
	}
	w.Node(2).Write("orders", store.Op{Key: []byte("k"), Value: []byte("v")})
	w.Heal()
	w.Run(10 * time.Second)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	if row(t, w, 2, "k") != "-" || w.Stats.Count[simnet.Denied] != 1 {
		t.Error("the replica took a write")
	}
}

// ambiguous makes the replica collect a delete whose key a master wrote before
// that, unheard by it.
func ambiguous(t *testing.T, w *simnet.World) {
	t.Helper()
	w.Node(1).Write("orders", store.Op{Key: []byte("k"), Value: []byte("first")})
	w.Run(10 * time.Second)
	w.Part(0, 1)
	w.Part(2, 1)
	w.Node(1).Write("orders", store.Op{Key: []byte("k"), Value: []byte("unseen")})
	w.Run(time.Second)
	w.Node(0).Write("orders", store.Op{Key: []byte("k"), Delete: true})
	w.Run(10 * time.Second)
	w.Node(2).Collect("orders")
	if n := oldTombstones(t, w, 2, 0); n != 0 {
		t.Fatalf("the replica still holds %d tombstones", n)
	}
}

// TestReplicaWaitsForAMaster: what it cannot take a master that has the delete
// settles. Nothing is emptied.
func TestReplicaWaitsForAMaster(t *testing.T) {
	w := replicaWorld(t, syncer.Options{})
	ambiguous(t, w)
	w.Heal()
	w.Run(time.Minute)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	if row(t, w, 2, "k") != "-" || w.Stats.Count[simnet.Wipes] != 0 {
		t.Errorf("k is %q, %d wipes", row(t, w, 2, "k"), w.Stats.Count[simnet.Wipes])
	}
}

// emptied wants that the replica has emptied its bucket so often, and said so.
func emptied(t *testing.T, w *simnet.World, want int) {
	t.Helper()
	told := 0
	for _, ev := range w.Node(2).Events() {
		if ev.Kind == syncer.EventWiped {
			told++
		}
	}
	if n := w.Stats.Count[simnet.Wipes]; n != want || told != want {
		t.Fatalf("%d wipes and %d events, want %d", n, told, want)
	}
}

// TestReplicaIsEmptied: it has forgotten a delete and cannot judge what is older.
// The masters, which have all that it has, take it as it is: none issues it again.
func TestReplicaIsEmptied(t *testing.T) {
	w := replicaWorld(t, syncer.Options{})
	w.Node(0).Write("orders", store.Op{Key: []byte("other"), Value: []byte("v")})
	w.Run(10 * time.Second)
	w.Part(1, 2)
	w.Delay(0, 1, 2*time.Second)
	w.Node(1).Write("orders", store.Op{Key: []byte("k"), Value: []byte("unseen")})
	w.Run(time.Second)
	w.Node(0).Write("orders", store.Op{Key: []byte("other"), Delete: true})
	w.Run(500 * time.Millisecond)
	w.Node(2).Collect("orders")
	w.Run(2 * time.Minute)
	emptied(t, w, 1)
	w.Heal()
	w.Run(time.Minute)
	emptied(t, w, 1)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	if row(t, w, 2, "k") != "unseen" || row(t, w, 2, "other") != "-" || w.Stats.Count[simnet.Reissued] != 0 {
		t.Errorf("k is %q, other %q, %d writes issued again", row(t, w, 2, "k"), row(t, w, 2, "other"), w.Stats.Count[simnet.Reissued])
	}
}

// TestReplicaKeepsWhatOnlyItHas: the same, without patience, while the disk that
// wrote a part of what it holds is lost. It waits until the master that is left
// has taken that over.
func TestReplicaKeepsWhatOnlyItHas(t *testing.T) {
	w := replicaWorld(t, syncer.Options{WipeTries: 1})
	w.Node(0).Write("orders", store.Op{Key: []byte("other"), Value: []byte("v")})
	w.Run(10 * time.Second)
	w.Part(0, 1)
	w.Delay(1, 2, 30*time.Second) // what they tell each other arrives late
	w.Node(1).Write("orders", store.Op{Key: []byte("k"), Value: []byte("unseen")})
	w.Run(time.Second)
	w.Node(0).Write("orders", store.Op{Key: []byte("only"), Value: []byte("here")})
	w.Node(0).Write("orders", store.Op{Key: []byte("other"), Delete: true})
	w.Run(5 * time.Second)
	w.Node(2).Collect("orders")
	w.Node(0).Crash() // for good
	w.Run(time.Minute)
	emptied(t, w, 0)
	if n := raised(w, 2, syncer.EventUnsettled, ""); n != 1 {
		t.Errorf("%d events tell that it waits", n)
	}
	if row(t, w, 1, "only") != "-" || row(t, w, 2, "only") != "here" {
		t.Fatalf("only is %q at the master, %q at the replica", row(t, w, 1, "only"), row(t, w, 2, "only"))
	}
	w.Heal()
	w.Run(5 * time.Minute)
	for i := range 2 {
		if row(t, w, 1+i, "only") != "here" || row(t, w, 1+i, "k") != "unseen" || row(t, w, 1+i, "other") != "-" {
			t.Errorf("%s has %q, %q, %q", w.Node(1+i).Name(), row(t, w, 1+i, "only"), row(t, w, 1+i, "k"), row(t, w, 1+i, "other"))
		}
	}
}
