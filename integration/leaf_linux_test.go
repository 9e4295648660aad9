package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/oplog"
)

// connect connects from inside of a host.
func (c *cable) connect(host, url string) *nats.Conn {
	c.tb.Helper()
	nc, err := nats.Connect(url, nats.SetCustomDialer(hostDialer(host)), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	must(c.tb, err)
	c.tb.Cleanup(nc.Close)
	return nc
}

// TestLeafLinkLostUnderWriters cuts the link between two sites for a minute, so
// that nothing tells them, while both write.
func TestLeafLinkLostUnderWriters(t *testing.T) {
	t.Parallel()
	const away = time.Minute // longer than the sites take to give the link up
	c := startCable(t)
	config := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(config, []byte("listen: \"127.0.0.1:4222\"\nleafnodes { listen: \""+cableAddress(0)+":7422\", no_advertise: true }\n"), 0o600))
	const url = "nats://127.0.0.1:4222" // on either host
	a := newNode(t, "a", url, "--nats-config", config)
	b := newNode(t, "b", url, "--listen", "127.0.0.1:4222", "--join", "nats-leaf://"+cableAddress(0)+":7422")
	nodes := []*node{a, b}
	ledger := newLedger(t)
	var ears [2]*ear
	var writers [2]*writer
	for i, n := range nodes {
		n.host = c.hosts[i]
		n.start()
	}
	converged(t, patience, a, b)
	for i, n := range nodes {
		other := nodes[1-i].name
		ears[i] = listenOn(t, c.connect(n.host, url), "replicator.default.live."+other, "replicator.reply."+n.name+".>")
		writers[i] = startWriterAs(t, &client{nc: c.connect(n.host, url), node: n.name}, ledger, 5000)
		awaitAcks(t, writers[i], 100)
	}
	c.cut()
	cut := time.NewTimer(away)
	defer cut.Stop()
	<-cut.C
	c.heal()
	healed := time.Now()
	for _, w := range writers {
		awaitAcks(t, w, 100)
		w.stop()
	}
	await(t, soon-time.Since(healed), "verify says equal", func() error { return equal(t, nodes) })
	took := time.Since(healed)
	converged(t, soon, a, b)
	ledger.check(t, a, b)
	crossed := ears[0].entries(t) + ears[1].entries(t)
	written := writers[0].acked.Load() + writers[1].acked.Load() + writers[0].failed.Load() + writers[1].failed.Load()
	if float64(crossed) > 1.05*float64(written) {
		t.Errorf("%d entries crossed the link for %d writes", crossed, written)
	}
	t.Logf("the link was lost for %v; %d writes acknowledged, 0 lost; %d entries crossed; equal %.2f s after it was back",
		away, ledger.rows.Load(), crossed, (time.Since(healed)-took).Seconds()+took.Seconds())
}

// entries counts those in the live messages and pages that were heard.
func (e *ear) entries(tb testing.TB) (n int) {
	tb.Helper()
	for _, h := range e.on("") {
		if strings.Contains(h.subject, ".reply.") && h.body[0] == 0x02 {
			tb.Fatalf("a frame of %d bytes: the test counts whole pages", h.size)
		}
		m, err := oplog.Decode(h.body)
		must(tb, err)
		switch m := m.(type) {
		case *oplog.Live:
			n += len(m.Entries)
		case *oplog.Page:
			n += len(m.Entries)
		}
	}
	return n
}
