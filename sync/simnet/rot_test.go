package simnet_test

import (
	"fmt"
	"testing"
	"time"

	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// TestScenario37HashDetectsBitflip is scenario 37: one row is altered on one disk, and its
// part, its key and its repair follow. So with a row that is lost.
func TestScenario37HashDetectsBitflip(t *testing.T) {
	for name, harm := range map[string]func(n *simnet.Node, key string) bool{
		"flip": func(n *simnet.Node, key string) bool { return n.Flip("orders", key) },
		"lost": func(n *simnet.Node, key string) bool { return n.Lose("orders", key) },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				w := simnet.NewWorld(seed, simnet.Config{Nodes: 3, Buckets: []string{"orders"}, DelayMax: time.Millisecond, Tune: daily})
				for i := range 3 {
					w.Node(i).Start()
				}
				w.Run(5 * time.Second)
				for i := range 30 {
					put(w, i%3, fmt.Sprint("key", i))
				}
				w.Run(time.Minute)
				if !harm(w.Node(1), "key7") {
					t.Fatal("no row to damage")
				}
				found, put := w.Stats.Count[simnet.BadRows], w.Stats.Count[simnet.Repaired]
				// Nobody asks: the scrub of each day finds it.
				if !w.RunUntil(w.Now().Add(2*time.Hour), func() bool { return w.Stats.Count[simnet.Repaired] > put }) {
					t.Fatalf("seed %d: not repaired within a scrub", seed)
				}
				if flips := w.Stats.Count[simnet.BadRows] - found; (name == "flip") != (flips == 1) {
					t.Errorf("seed %d: %d bad rows found", seed, flips)
				}
				w.Calm()
				if !w.RunUntil(w.Now().Add(time.Minute), w.Settled) {
					t.Fatalf("seed %d: not settled", seed)
				}
				if err := w.AtRest(); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				w.End()
			}
		})
	}
}

// daily is a day of an hour.
func daily(n *simnet.Node) { n.Options = syncer.Options{ScrubEvery: time.Hour} }

// TestOneLostRowComesBack though a node deletes or parks what is ambiguous: that it
// was here before is not.
func TestOneLostRowComesBack(t *testing.T) {
	bad := 0
	for seed := range uint64(12) {
		w := simnet.NewWorld(seed, simnet.Config{Nodes: 3, Buckets: []string{"orders"}, DelayMax: time.Millisecond, Mixed: true, Tune: daily})
		for i := range 3 {
			w.Node(i).Start()
		}
		w.Run(5 * time.Second)
		put(w, 0, "precious")
		w.Run(time.Second)
		put(w, 0, "other")
		w.Node(0).Write("orders", deletes("other"))
		w.Run(time.Second)
		for i := range 3 {
			w.Node(i).Collect("orders")
		}
		w.Run(time.Minute)
		before := row(t, w, 0, "precious")
		if !w.Node(1).Lose("orders", "precious") {
			t.Fatal("no row to lose")
		}
		w.Run(3 * time.Hour)
		if got := row(t, w, 0, "precious"); before == "-" || got != before || row(t, w, 1, "precious") != before {
			bad++
		}
		w.End()
	}
	if bad > 0 {
		t.Errorf("in %d of 12 worlds the row is not as it was", bad)
	}
}
