package integration_test

import (
	"testing"
	"time"
)

func TestMemoryStaysBounded(t *testing.T) {
	keys, after := 100_000, 5*time.Second
	if testing.Short() {
		keys, after = 10_000, time.Second
	}
	if long() {
		keys, after = 1_000_000, time.Minute
	}
	const limit = 400 << 20
	a := embeddedNode(t, "a")
	records := made("memory/", keys, 100)
	begun := time.Now()
	a.load(records)
	logRate(t, "imported on a", uint64(keys), time.Since(begun))
	begun = time.Now()
	b := connectedNode(t, "b", a.url)
	b.awaitKeys(5*time.Minute, uint64(keys))
	logRate(t, "pulled by b, from its start", uint64(keys), time.Since(begun))
	rested := time.Now()
	converged(t, patience, a, b)
	await(t, after+patience, "memory was watched to the end", func() error {
		for _, n := range []*node{a, b} {
			if peak := n.peak(); peak > limit {
				t.Fatalf("%s took %d MiB", n.name, peak>>20)
			}
		}
		if time.Since(rested) < after {
			return errNotYet
		}
		return nil
	})
	t.Logf("%d keys: peak of a with its server %d MiB, of b %d MiB", keys, a.peak()>>20, b.peak()>>20)
}
