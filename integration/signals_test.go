package integration_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopLimit bounds a clean end: lame duck, last group, last heartbeat.
const stopLimit = 10 * time.Second

func TestTermEndsCleanlyUnderLoad(t *testing.T) {
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	e := listen(t, hub.url(), "replicator._fleet.clock.>")
	l := newLedger(t)
	w := startWriter(t, a, l, 100)
	awaitAcks(t, w, 100)
	begun := time.Now()
	a.stop()
	t.Logf("ended after %.2f s", time.Since(begun).Seconds())
	if took := time.Since(begun); took > stopLimit {
		t.Errorf("took %v", took)
	}
	w.stop()
	await(t, patience, "the last heartbeat says that a stops", func() error {
		beats := e.beats(t, "a")
		if len(beats) == 0 || !beats[len(beats)-1].Stopping {
			return fmt.Errorf("not among %d beats", len(beats))
		}
		return nil
	})
	// What was acknowledged was published too: b has it without a.
	await(t, soon, "b has what a acknowledged", func() error {
		if d, ok := e.digest(t, "a"); !ok || b.bucket().Clock[originOf(b, "a")] < d.Own {
			return fmt.Errorf("a ended at %d, b is at %v", d.Own, b.bucket().Clock)
		}
		return nil
	})
	l.check(t, b)
	a.start()
	converged(t, soon, a, b)
	l.check(t, a, b)
}

// originOf is the only origin of a node that n knows.
func originOf(n *node, name string) string {
	n.tb.Helper()
	for origin := range n.bucket().Clock {
		if strings.HasPrefix(origin, name+"/") {
			return origin
		}
	}
	return ""
}

func TestTermEndsEmbeddedServer(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.put("k", "v")
	converged(t, soon, a, b)
	begun := time.Now()
	a.stop()
	if took := time.Since(begun); took > stopLimit {
		t.Errorf("took %v", took)
	}
	t.Logf("ended after %.2f s", time.Since(begun).Seconds())
	a.start()
	a.want("k", "v")
	converged(t, soon, a, b)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url) // to say goodbye to, which takes a while
	a.put("k", "v")
	converged(t, soon, a, b)
	a.proc.signal(t, syscall.SIGTERM)
	await(t, patience, "a takes the first signal", func() error {
		if !a.proc.running() || strings.Contains(a.log.String(), "stop") {
			return nil
		}
		return fmt.Errorf("log: %s", a.log.tail(3))
	})
	begun := time.Now()
	a.proc.signal(t, syscall.SIGTERM)
	a.proc.wait(t, stopLimit)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the second signal took %v", took)
	}
	t.Logf("ended %v after the second signal, code %d", time.Since(begun), a.proc.code)
	a.start()
	a.want("k", "v")
	converged(t, soon, a, b)
}

func TestInterruptEndsToo(t *testing.T) {
	a := embeddedNode(t, "a", "--durability", "interval")
	a.put("k", "v")
	a.proc.signal(t, syscall.SIGINT)
	if code := a.proc.wait(t, stopLimit); code != exitDone {
		t.Errorf("code %d", code)
	}
	a.start()
	a.want("k", "v")
	converged(t, soon, a)
}
