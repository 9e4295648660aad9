package integration_test

import (
	"fmt"
	"testing"
	"time"
)

// Two sites work on while their hub is down, each through its own broker.
func TestSitesWorkWhileHubIsDown(t *testing.T) {
	t.Parallel()
	down := 10 * time.Second
	if long() {
		down = time.Minute
	}
	hub := startBroker(t)
	north := embeddedNode(t, "north", "--join", "nats-leaf://"+hub.leafAddress())
	south := embeddedNode(t, "south", "--join", "nats-leaf://"+hub.leafAddress())
	atHub := connectedNode(t, "at-hub", hub.url())
	north.put("greeting", "from the north")
	converged(t, patience, north, south, atHub)

	hub.stop()
	alone := time.NewTimer(down)
	defer alone.Stop()
	tick := time.NewTicker(down / 20)
	defer tick.Stop()
	written := 0
	for running := true; running; written++ {
		for _, site := range []*node{north, south} {
			site.put(fmt.Sprint(site.name, "/", written), "while the hub was down")
			site.put("shared", fmt.Sprint(site.name, " ", written))
			site.want("shared", fmt.Sprint(site.name, " ", written))
			site.want("greeting", "from the north")
		}
		select {
		case <-alone.C:
			running = false
		case <-tick.C:
		}
	}
	north.wantNone("south/0")

	hub.start()
	t.Logf("equal %.2f s after the hub came back, %d writes a site, down for %v",
		converged(t, soon, north, south, atHub).Seconds(), 2*written, down)
	for _, n := range []*node{north, south, atHub} {
		n.want("shared", fmt.Sprint("south ", written-1))
		n.want("north/0", "while the hub was down")
	}
}
