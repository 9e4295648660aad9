package integration_test

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	kills     = flag.Int("kills", 100, "how often TestChaos kills a node")
	chaosSeed = flag.Uint64("chaos-seed", 0, "seed of TestChaos; 0 for one drawn anew")
)

// TestChaos kills nodes, restarts servers of a NATS cluster and lets processes
// stand still, in any order, while clients write to all nodes and keep ledgers
// of what was acknowledged.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c := &chaos{t: t, rnd: rand.New(rand.NewPCG(seed, 0xc4a05)), ledger: newLedger(t)}
	c.begin()
	want := *kills
	if testing.Short() {
		want = min(want, 10)
	}
	for c.killed < want || c.restarts < want/2 {
		c.strike()
	}
	for _, w := range c.writers {
		awaitAcks(t, w, 20) // all of them are back
		w.stop()
	}
	took := converged(t, soon, c.nodes...)
	c.ledger.check(t, c.nodes...)
	failed := int64(0)
	for _, w := range c.writers {
		failed += w.failed.Load()
	}
	t.Logf("seed %d: %d kills, %d restarts of NATS servers, %d processes frozen; %d writes acknowledged, %d failed, 0 lost; equal %.2f s after the last",
		seed, c.killed, c.restarts, c.frozen, c.ledger.rows.Load(), failed, took.Seconds())
	if t.Failed() {
		t.Logf("again with -chaos-seed %d", seed)
	}
}

// chaos is a fleet on a cluster of NATS servers, and what was done to it.
type chaos struct {
	t       *testing.T
	rnd     *rand.Rand
	brokers []*broker
	nodes   []*node
	writers []*writer
	ledger  *ledger

	killed, restarts, frozen int
}

func (c *chaos) begin() {
	c.t.Helper()
	c.brokers = startCluster(c.t, 3)
	for i, name := range []string{"a", "b", "c"} {
		urls := make([]string, 0, len(c.brokers))
		for j := range c.brokers {
			urls = append(urls, c.brokers[(i+j)%len(c.brokers)].url())
		}
		n := newNode(c.t, name, strings.Join(urls, ","), "--server", strings.Join(urls, ","))
		c.nodes = append(c.nodes, n.start())
		c.writers = append(c.writers, startWriter(c.t, n, c.ledger, 200))
	}
}

// strike does one thing, a while after the one before.
func (c *chaos) strike() {
	c.t.Helper()
	time.Sleep(time.Duration(c.rnd.IntN(150)) * time.Millisecond) // not for something: chaos has no rhythm
	n := c.nodes[c.rnd.IntN(len(c.nodes))]
	switch c.rnd.IntN(10) {
	case 0, 1, 2:
		b := c.brokers[c.rnd.IntN(len(c.brokers))]
		b.stop()
		time.Sleep(time.Duration(c.rnd.IntN(300)) * time.Millisecond) // down for a while
		b.start()
		c.restarts++
	case 3:
		n.freeze()
		time.Sleep(time.Duration(c.rnd.IntN(1000)) * time.Millisecond) // frozen for a while
		n.thaw()
		c.frozen++
	default:
		n.crash()
		c.killed++
		if c.rnd.IntN(3) == 0 { // another one dies before this one is back
			m := c.nodes[c.rnd.IntN(len(c.nodes))]
			if m != n {
				m.crash()
				c.killed++
				m.start()
			}
		}
		n.start()
	}
}
