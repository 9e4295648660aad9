package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// fleetOf starts n nodes that hold orders and the fleet's own bucket.
func fleetOf(n, started int, o syncer.Options) *simnet.World {
	w := simnet.NewWorld(1, simnet.Config{
		Nodes: n, Buckets: []string{"orders", syncer.Fleet}, DelayMax: time.Millisecond,
		Tune: func(n *simnet.Node) { n.Options = o },
	})
	for i := range started {
		w.Node(i).Start()
	}
	w.Run(5 * time.Second)
	return w
}

func orders(w *simnet.World, i int) *store.Bucket {
	b, _ := w.Node(i).Store().Bucket("orders")
	return b
}

func holds(t *testing.T, w *simnet.World, i int, key string) bool {
	t.Helper()
	e, ok, err := orders(w, i).Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return ok && !e.Tombstone
}

func raised(w *simnet.World, i int, kind syncer.EventKind, peer string) (n int) {
	for _, ev := range w.Node(i).Events() {
		if ev.Kind == kind && ev.Peer == peer {
			n++
		}
	}
	return n
}

func member(t *testing.T, w *simnet.World, i int, name string) syncer.MemberStatus {
	t.Helper()
	for _, m := range w.Node(i).Engine().Members() {
		if m.Node == name {
			return m
		}
	}
	t.Fatalf("%s knows no member %s", w.Node(i).Name(), name)
	return syncer.MemberStatus{}
}

// evicted lets node 2 be away, cut off and running, until the others have
// collected the delete of a key that it holds.
func evicted(t *testing.T) *simnet.World {
	t.Helper()
	w := fleetOf(3, 3, syncer.Options{EvictAfter: time.Hour})
	put(w, 0, "deleted")
	put(w, 1, "kept")
	w.Run(10 * time.Second)
	w.Part(2, 0)
	w.Part(2, 1)
	w.Node(0).Write("orders", store.Op{Key: []byte("deleted"), Delete: true})
	w.Run(50 * time.Minute)
	if n := oldTombstones(t, w, 0, time.Minute); n != 1 {
		t.Fatalf("%d tombstones while a member that lacks it is away, want 1", n)
	}
	if m := member(t, w, 0, "c"); m.State != syncer.MemberOverdue || len(m.HoldsUp) != 1 || m.HoldsUp[0] != "orders" {
		t.Errorf("c is %s and holds up %v, want overdue, and orders", m.State, m.HoldsUp)
	}
	w.Run(30 * time.Minute)
	if n := oldTombstones(t, w, 0, 0) + oldTombstones(t, w, 1, 0); n != 0 {
		t.Fatalf("%d tombstones after the member was evicted", n)
	}
	if m := member(t, w, 0, "c"); m.State != syncer.MemberEvicted || len(m.HoldsUp) != 0 {
		t.Errorf("c is %s and holds up %v, want evicted, and nothing", m.State, m.HoldsUp)
	}
	for _, kind := range []syncer.EventKind{syncer.EventOverdue, syncer.EventEvicted} {
		if n := raised(w, 0, kind, "c"); n != 1 {
			t.Errorf("%d events %s on c, want 1", n, kind)
		}
	}
	return w
}

// TestScenario23EvictRejoinNoResurrect: an evicted node holds deleted keys and
// returns; they go there, and nothing changes in the fleet.
func TestScenario23EvictRejoinNoResurrect(t *testing.T) {
	w := evicted(t)
	before, clock := orders(w, 0).Durable(), orders(w, 0).Clock()
	w.Heal()
	w.Run(time.Minute)
	if err := w.AtRest(); err != nil {
		t.Fatal(err)
	}
	if holds(t, w, 2, "deleted") || !holds(t, w, 2, "kept") {
		t.Error("the deleted key is still there, or the other one is not")
	}
	if after := orders(w, 0).Durable(); !after.Same(before) || !orders(w, 0).Clock().Equal(clock) {
		t.Errorf("the fleet has changed: %+v to %+v", before, after)
	}
	if w.Stats.Count[simnet.Reconciles] == 0 {
		t.Error("no reconcile")
	}
	if n := raised(w, 0, syncer.EventReturned, "c"); n != 1 {
		t.Errorf("%d events returned, want 1", n)
	}
	if m := member(t, w, 0, "c"); m.State != syncer.MemberLive {
		t.Errorf("c is %s", m.State)
	}
}

// TestScenario24EvictRejoinUnseenKept: what an evicted node wrote while it was
// away is everywhere once it is back.
func TestScenario24EvictRejoinUnseenKept(t *testing.T) {
	w := evicted(t)
	put(w, 2, "unseen")
	w.Heal()
	w.Run(time.Minute)
	if err := w.AtRest(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if !holds(t, w, i, "unseen") || holds(t, w, i, "deleted") {
			t.Errorf("%s lacks what was written away, or has a deleted key back", w.Node(i).Name())
		}
	}
}

// hole makes a fleet of four, of which d has not been started, in which the
// disk of c is gone with its write 8, and a has got 9, in a pull in key order
// that was cut.
func hole(t *testing.T) (w *simnet.World, c oplog.Origin) {
	t.Helper()
	w = fleetOf(4, 3, syncer.Options{PageBytes: 1, Window: 1, LogOrderMax: 1})
	for i := range 7 {
		put(w, 2, string(rune('m'+i)))
	}
	w.Run(10 * time.Second)
	c = orders(w, 2).Origin()
	w.Part(2, 0)
	w.Part(2, 1)
	put(w, 2, "y is lost")
	put(w, 2, "b is found")
	w.Run(time.Minute)
	w.Heal()
	w.Part(2, 1)
	if !w.RunUntil(w.Now().Add(time.Minute), func() bool { return orders(w, 0).Ahead()[c] == 9 }) {
		t.Fatal("a never got write 9")
	}
	w.Node(2).Crash()
	if orders(w, 0).Covers(oplog.Dot{Origin: c, Seq: 8}) {
		t.Fatal("a covers write 8: the pull was not cut")
	}
	w.Run(5 * time.Minute)
	return w, c
}

// wantHole verifies that nodes hold 9 as an extra, and equal rows.
func wantHole(t *testing.T, w *simnet.World, c oplog.Origin, nodes ...int) {
	t.Helper()
	first := orders(w, nodes[0]).Durable()
	for _, i := range nodes {
		b := orders(w, i)
		if b.Clock()[c] != 7 || b.Ahead()[c] != 9 || len(b.Ahead()) != 1 {
			t.Errorf("%s covers %d of c and holds %v above", w.Node(i).Name(), b.Clock()[c], b.Ahead())
		}
		if !b.Durable().Same(first) || !holds(t, w, i, "b is found") || holds(t, w, i, "y is lost") {
			t.Errorf("%s has other rows: %+v", w.Node(i).Name(), b.Durable())
		}
	}
}

// TestScenario40HoleForEver: 8 is lost with its disk, 9 was at one peer. All
// hold 9 as an extra, with equal hashes and without a storm of pulls; once the
// node is forgotten they count as pure, and no clock has moved.
func TestScenario40HoleForEver(t *testing.T) {
	w, c := hole(t)
	wantHole(t, w, c, 0, 1)
	talk := w.Stats.Count[simnet.Talk]
	w.Run(10 * time.Minute)
	if n := w.Stats.Count[simnet.Talk] - talk; n > 0 {
		t.Errorf("%d messages that are no heartbeats in ten minutes", n)
	}
	for i := range 2 {
		if w.Node(i).Pure("orders") {
			t.Errorf("%s counts as pure before c is forgotten", w.Node(i).Name())
		}
	}
	w.Node(1).Forget("c")
	w.Run(10 * time.Second)
	w.Node(3).Start() // who comes later gets the extra too
	w.Run(time.Minute)
	wantHole(t, w, c, 0, 1, 3)
	for _, i := range []int{0, 1, 3} {
		if !w.Node(i).Pure("orders") {
			t.Errorf("%s is not pure", w.Node(i).Name())
		}
		if m := member(t, w, i, "c"); m.State != syncer.MemberForgotten || m.Retired.By != "b" {
			t.Errorf("%s thinks c is %s by %s", w.Node(i).Name(), m.State, m.Retired.By)
		}
	}
	put(w, 0, "deleted")
	w.Node(0).Write("orders", store.Op{Key: []byte("deleted"), Delete: true})
	w.Run(5 * time.Minute)
	for _, i := range []int{0, 1, 3} {
		if n := oldTombstones(t, w, i, 0); n > 0 {
			t.Errorf("%s keeps %d tombstones for a forgotten member", w.Node(i).Name(), n)
		}
	}
}

// TestForgottenNodeThatReturns loses nothing: what nobody had comes in through
// gate and reconcile, and fills the hole. It takes new writes once it is a
// member again.
func TestForgottenNodeThatReturns(t *testing.T) {
	w, c := hole(t)
	put(w, 0, "m") // c has an older one
	w.Node(0).Write("orders", store.Op{Key: []byte("n"), Delete: true})
	w.Run(time.Second)
	w.Node(0).Forget("c")
	w.Run(5 * time.Minute)
	if n := oldTombstones(t, w, 0, 0); n > 0 {
		t.Fatalf("%d tombstones are kept for a forgotten member", n)
	}
	w.Heal()
	w.Node(2).Start()
	w.Node(3).Start()
	w.Run(time.Minute)
	put(w, 2, "refused")
	for i := range 4 {
		if !holds(t, w, i, "y is lost") || holds(t, w, i, "n") || holds(t, w, i, "refused") || !orders(w, i).Covers(oplog.Dot{Origin: c, Seq: 9}) {
			t.Errorf("%s lacks what only c had, or has what was deleted or refused", w.Node(i).Name())
		}
	}
	w.Node(2).Readmit("c")
	w.Run(10 * time.Second)
	put(w, 2, "taken")
	w.Run(time.Minute)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	for i := range 4 {
		if !holds(t, w, i, "taken") {
			t.Errorf("%s lacks what c wrote as a member again", w.Node(i).Name())
		}
	}
	if n := raised(w, 0, syncer.EventReadmitted, "c"); n != 1 {
		t.Errorf("%d events readmitted, want 1", n)
	}
	if m := member(t, w, 0, "c"); m.State != syncer.MemberLive {
		t.Errorf("c is %s", m.State)
	}
}

// TestForgetReachesWhoWasAway: also through nodes that were not there when it
// was said, and over restarts.
func TestForgetReachesWhoWasAway(t *testing.T) {
	w := fleetOf(4, 4, syncer.Options{})
	w.Node(1).Crash()
	w.Node(3).Crash()
	w.Node(0).Forget("d")
	w.Run(10 * time.Second)
	w.Node(0).Crash()
	w.Node(1).Start()
	w.Run(10 * time.Second)
	w.Node(2).Crash()
	w.Node(2).Start()
	for _, i := range []int{1, 2} {
		if m := member(t, w, i, "d"); m.State != syncer.MemberForgotten {
			t.Errorf("%s thinks d is %s", w.Node(i).Name(), m.State)
		}
	}
}
