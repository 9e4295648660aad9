package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

func left(s *scene, i int) bool {
	_, held := s.Node(i).Store().Bucket("orders")
	return !held
}

// TestBucketIsLeftAndJoinedAgain: what the node wrote is with the others, nobody
// waits for it, deletes of the meantime stay deleted when it is back, and that others
// have its writes is no news.
func TestBucketIsLeftAndJoinedAgain(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{
		Nodes: 3, Buckets: []string{"orders"}, DelayMax: time.Millisecond, Away: 5 * time.Minute,
		Tune: func(n *simnet.Node) { n.Options.CollectEvery = 5 * time.Second },
	})
	t.Cleanup(w.End)
	s := &scene{World: w, t: t}
	for i := range 3 {
		s.Node(i).Start()
	}
	s.Run(5 * time.Second)
	s.put(a, "by a", "v")
	s.put(b, "gone", "v")
	s.Node(a).Part("orders")
	if !s.RunUntil(s.Now().Add(10*time.Second), func() bool { return left(s, a) }) {
		t.Fatal("a never left the bucket")
	}
	s.del(b, "gone")
	if !s.RunUntil(s.Now().Add(time.Minute), func() bool { return s.bucket(b).Guard() > 0 }) {
		t.Error("the delete is kept for one that does not hold the bucket")
	}
	if s.Run(time.Minute); !left(s, a) {
		t.Error("a came back because others spoke of it")
	}
	if !s.RunUntil(s.Now().Add(5*time.Minute), func() bool { return !left(s, a) && s.Settled() }) {
		t.Fatal("a did not come back")
	}
	if err := s.AtRest(); err != nil {
		t.Error(err)
	}
	for _, e := range s.Node(a).Events() {
		if e.Kind == syncer.EventRestored {
			t.Errorf("an event %s: %s", e.Kind, e.Text)
		}
	}
	s.put(a, "by a", "w") // under a dot of its own, or the ledger would say so
	s.Run(time.Minute)
	if err := s.AtRest(); err != nil {
		t.Error(err)
	}
}

// TestTwoCannotLeaveABucketToEachOther: each has all of it, and would be content with
// that; one of them has to keep it.
func TestTwoCannotLeaveABucketToEachOther(t *testing.T) {
	for seed := range uint64(20) {
		s := seeded(t, seed, 2)
		s.Node(a).Start()
		s.Node(b).Start()
		s.Run(5 * time.Second)
		s.put(a, "k", "v")
		s.Run(5 * time.Second)
		s.Node(a).Part("orders")
		s.Node(b).Part("orders")
		if s.RunUntil(s.Now().Add(30*time.Second), func() bool { return left(s, a) && left(s, b) }) {
			t.Fatalf("seed %d: both have left it", seed)
		}
		s.Run(time.Minute)
		if !s.Settled() || s.AtRest() != nil {
			t.Errorf("seed %d: %v", seed, s.AtRest())
		}
	}
}

// TestBucketStaysWhileAnHeirIsOutOfReach: that it had all a moment ago does not count.
func TestBucketStaysWhileAnHeirIsOutOfReach(t *testing.T) {
	s := newScene(t, 2)
	s.put(a, "k", "v")
	s.Run(5 * time.Second)
	s.Cut(b, a)
	s.Node(a).Part("orders")
	if s.RunUntil(s.Now().Add(25*time.Second), func() bool { return left(s, a) }) {
		t.Fatal("it left the bucket, and nobody has said that he keeps it")
	}
	s.Heal()
	s.Node(a).Part("orders")
	if !s.RunUntil(s.Now().Add(time.Minute), func() bool { return left(s, a) }) {
		t.Error("it did not leave though b keeps the bucket")
	}
}

// TestWriteInABucketThatIsLeftIsRefused: it would be on its way out of the world.
func TestWriteInABucketThatIsLeftIsRefused(t *testing.T) {
	s := newScene(t, 2)
	s.put(a, "k", "v")
	st := s.Node(a).Store()
	bucket := s.bucket(a)
	s.Node(a).Part("orders")
	if !s.RunUntil(s.Now().Add(10*time.Second), func() bool { return left(s, a) }) {
		t.Fatal("a never left the bucket")
	}
	if _, err := bucket.Write(s.Now(), []store.Op{{Key: []byte("late")}}); err == nil {
		t.Error("a write was taken")
	}
	if wrote := st.Wrote()["orders"]; len(wrote) != 1 || wrote.Equal(oplog.Clock{}) {
		t.Errorf("it wrote %v", wrote)
	}
	if n := s.Stats.Count[simnet.Parts]; n != 1 {
		t.Errorf("%d buckets were left", n)
	}
}
