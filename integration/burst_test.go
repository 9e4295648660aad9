package integration_test

import (
	"fmt"
	"testing"
)

// The ancestor lost the last write of a burst to a peer's echo.
func TestLastWriteOfBurstStays(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	const writes = 300
	for _, n := range []*node{a, b} {
		c := n.client()
		for i := range writes {
			_, err := c.put(t.Context(), "burst", fmt.Sprintf("%s %d", n.name, i+1))
			must(t, err)
		}
		n.want("burst", fmt.Sprintf("%s %d", n.name, writes))
		converged(t, soon, a, b)
		a.want("burst", fmt.Sprintf("%s %d", n.name, writes))
		b.want("burst", fmt.Sprintf("%s %d", n.name, writes))
	}
}

func TestReadAfterPutReturnsIt(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	const rounds = 1000
	w := startWriter(t, a, newLedger(t), 50) // a peer that writes meanwhile
	c, stale := b.client(), 0
	for i := range rounds {
		value := fmt.Sprint("round ", i)
		_, err := c.put(t.Context(), "mine", value)
		must(t, err)
		got, err := c.get(t.Context(), "mine")
		must(t, err)
		if got != value {
			stale++
		}
	}
	w.stop()
	if stale > 0 {
		t.Errorf("%d of %d reads did not return what was just put", stale, rounds)
	}
	converged(t, soon, a, b)
}
