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

// manyStarts has b crash and start again and again, each time after a write, in a
// fleet that tells of ended origins foldAt at a time. It returns the most rows of
// a clock that a report carries then, while a and b write without a pause.
func manyStarts(t *testing.T, starts, foldAt int) (w *simnet.World, widest int) {
	t.Helper()
	w = fleetOf(4, 3, syncer.Options{FoldAt: foldAt, CollectEvery: 5 * time.Second, ReportAfter: 10 * time.Second})
	for i := range starts {
		put(w, 1, fmt.Sprintf("key-%d", i%7))
		w.Run(3 * time.Second)
		w.Node(1).Crash()
		w.Node(1).Start()
		w.Run(3 * time.Second)
	}
	put(w, 1, "last")
	w.Run(time.Minute)
	if n := len(orders(w, 0).Clock()); n < starts {
		t.Fatalf("%d origins after %d starts", n, starts)
	}
	w.Tap = func(_, _ *simnet.Node, m oplog.Message, deliver func()) {
		if r, ok := m.(*oplog.Report); ok {
			widest = max(widest, len(r.Clock))
		}
		deliver()
	}
	for i := range 2 { // what they hear of each other is never how they stand
		w.Delay(i, 1-i, 100*time.Millisecond)
		w.Delay(i, 2, 100*time.Millisecond)
	}
	for i := range 1000 {
		for j := range 2 {
			w.Node(j).Write("orders", store.Op{Key: fmt.Appendf(nil, "key-%d", i%7), Delete: i%2 == j})
		}
		w.Run(20 * time.Millisecond)
	}
	if widest == 0 {
		t.Fatal("no report")
	}
	w.Tap = nil
	w.Run(time.Minute)
	return w, widest
}

// TestManyStartsFoldTheClock: a node that crashes again and again leaves an origin
// behind each time. All stay in the clocks. Between nodes that know which have
// ended hardly any row of them travels, and who comes later gets them all.
func TestManyStartsFoldTheClock(t *testing.T) {
	const starts = 40
	if _, widest := manyStarts(t, starts, 1<<20); widest < starts {
		t.Fatalf("a report had %d rows though nobody was told of an ended origin", widest)
	}
	w, widest := manyStarts(t, starts, 4)
	if widest > 10 {
		t.Errorf("a report had %d rows after %d starts", widest, starts)
	}
	if w.Stats.Count[simnet.Folded] == 0 || w.Stats.Count[simnet.Ended] < starts-8 {
		t.Errorf("%d clocks folded, %d origins told of", w.Stats.Count[simnet.Folded], w.Stats.Count[simnet.Ended])
	}
	w.Node(3).Start()
	w.Run(time.Minute)
	if err := w.AtRest(); err != nil {
		t.Error(err)
	}
	if n := len(orders(w, 3).Clock()); n < starts {
		t.Errorf("a new node's clock has %d rows after %d starts", n, starts)
	}
}

// TestForgottenOriginsEnd: the origins of a node that does not come back are told
// of by one of the others.
func TestForgottenOriginsEnd(t *testing.T) {
	w := fleetOf(3, 3, syncer.Options{FoldAt: 3, CollectEvery: 5 * time.Second})
	for range 4 {
		put(w, 2, "k")
		w.Run(time.Second)
		w.Node(2).Crash()
		w.Node(2).Start()
		w.Run(3 * time.Second)
	}
	w.Node(2).Crash()
	put(w, 0, "own") // who has not written tells of nothing: it would leave one origin more
	w.Run(10 * time.Second)
	if n := w.Stats.Count[simnet.Ended]; n != 0 {
		t.Fatalf("%d ended origins told of by nobody who may", n)
	}
	w.Node(1).Forget("c")
	w.Run(time.Minute)
	if n := w.Stats.Count[simnet.Ended]; n != 4 {
		t.Errorf("%d ended origins told of, want 4", n)
	}
}
