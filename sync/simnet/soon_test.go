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

// TestSoon wants each road by which a lack is noticed to be quick by itself. In
// random histories another, slower one always stands in for a road that is
// broken.
func TestSoon(t *testing.T) {
	small := func(n *simnet.Node) { n.Options = syncer.Options{GapBuffer: 1000, ApplyBuffer: 1000} }
	for name, c := range map[string]struct {
		nodes  int
		within time.Duration
		tune   func(*simnet.Node)
		fault  func(w *simnet.World)
	}{
		"a lost message, and one after it": {2, time.Second, nil, func(w *simnet.World) {
			w.Cut(0, 1)
			put(w, 0, "lost")
			w.Heal()
			put(w, 0, "next")
		}},
		"a lost last message": {2, 6 * time.Second, nil, func(w *simnet.World) {
			w.Cut(0, 1)
			put(w, 0, "lost")
			w.Heal()
		}},
		"an announced write": {2, time.Second, nil, func(w *simnet.World) {
			w.Node(0).Write("orders", store.Op{Key: []byte("large"), Value: make([]byte, 5000)})
		}},
		"a burst above the buffers": {2, time.Second, small, func(w *simnet.World) {
			for i := range 100 {
				w.Node(0).Write("orders", store.Op{Key: fmt.Appendf(nil, "%d", i), Value: make([]byte, 300)})
				w.Run(100 * time.Microsecond)
			}
		}},
		"a start, of what only a third one wrote": {3, 2 * time.Second, nil, func(w *simnet.World) {
			w.Node(1).Crash()
			put(w, 2, "relayed")
			w.Run(time.Second)
			w.Node(2).Crash()
			w.Run(time.Minute)
			w.Node(1).Start()
		}},
		"a heal after minutes": {3, 2 * time.Second, nil, func(w *simnet.World) {
			w.Part(0, 1)
			w.Part(0, 2)
			put(w, 0, "here")
			put(w, 1, "there")
			w.Run(3 * time.Minute)
			w.Heal()
			put(w, 0, "after")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				w := simnet.NewWorld(seed, simnet.Config{
					Nodes: c.nodes, Buckets: []string{"orders"}, DelayMax: time.Millisecond, Tune: c.tune,
				})
				for i := range c.nodes {
					w.Node(i).Start()
				}
				w.Run(5 * time.Second)
				put(w, 0, "first")
				w.Run(time.Minute)
				c.fault(w)
				if !w.RunUntil(w.Now().Add(c.within), func() bool { return equalClocks(w, c.nodes) }) {
					t.Fatalf("seed %d: not equal within %s", seed, c.within)
				}
			}
		})
	}
}

// equalClocks reports whether the nodes that run have one clock.
func equalClocks(w *simnet.World, nodes int) bool {
	var first oplog.Clock
	for i := range nodes {
		if !w.Node(i).Up() {
			continue
		}
		b, _ := w.Node(i).Store().Bucket("orders")
		if first == nil {
			first = b.Clock()
		}
		if !b.Clock().Equal(first) {
			return false
		}
	}
	return true
}

// put writes a key and lets it reach the others.
func put(w *simnet.World, node int, key string) {
	w.Node(node).Write("orders", store.Op{Key: []byte(key), Value: make([]byte, 100)})
	w.Run(20 * time.Millisecond)
}
