package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// pullKeys are more than a pull in log order takes at once, so that the pull
// goes by key and can be taken up where it broke.
const (
	pullKeys  = 40000
	pullValue = 400
	page      = 256 << 10
)

func TestKilledReceiverPullsTheRest(t *testing.T) {
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	a.load(made("bulk/", pullKeys, pullValue))

	// What one full pull costs.
	whole := startProxy(t, hub.address())
	clean := newNode(t, "clean", hub.url(), "--server", "nats://"+whole.address()).start()
	clean.awaitKeys(patience, pullKeys)
	converged(t, soon, a, clean)
	full := whole.down.Load()
	clean.stop()

	cable := startProxy(t, hub.address())
	b := newNode(t, "b", hub.url(), "--server", "nats://"+cable.address()).launch()
	await(t, patience, "half of the records are on the wire", func() error {
		if got := cable.down.Load(); got < full/2 {
			return fmt.Errorf("%d of %d bytes", got, full)
		}
		return nil
	})
	b.crash()
	before := cable.down.Load()
	if before > full*9/10 {
		t.Fatalf("killed after %d of %d bytes: too late to prove anything", before, full)
	}
	b.start()
	b.awaitKeys(patience, pullKeys)
	converged(t, soon, a, b)
	total := cable.down.Load()
	t.Logf("bytes of a full pull %d, killed after %d, in all %d: %.3f of a full pull",
		full, before, total, float64(total)/float64(full))
	if limit := full*11/10 + page; total > limit {
		t.Errorf("%d bytes in all, the limit is %d: it was pulled again what was there", total, limit)
	}
}

func TestKilledWriterFinishesImport(t *testing.T) {
	a := embeddedNode(t, "a")
	b := newNode(t, "b", a.url, "--server", a.url).start()
	const keys = 30000
	records := made("bulk/", keys, 200)

	var said logbook
	cmd := commandOf(t, append([]string{"import", "-"}, a.target()...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(records), &said, &said
	importing := spawn(t, cmd)
	a.awaitKeys(patience, 2000)
	a.crash()
	importing.signal(t, os.Interrupt) // as a person would, who sees it stand still
	if code := importing.wait(t, 5*time.Second); code == exitDone {
		t.Fatal("the import was done before the kill: nothing is proved")
	}
	noTrace(t, said.String())
	t.Logf("the import said: %s", said.tail(3))
	a.start()
	held := a.bucket().Keys
	converged(t, patience, a, b)
	if now := a.bucket().Keys; held == 0 || now >= keys {
		t.Errorf("%d keys after the crash, %d at rest, of %d", held, now, keys)
	}
	t.Logf("killed with %d of %d keys on disk", held, keys)

	a.load(records)
	converged(t, patience, a, b)
	if now := b.bucket().Keys; now != keys {
		t.Errorf("b has %d keys, want %d", now, keys)
	}
}

// A writer that is killed while clients write loses nothing it acknowledged.
func TestKilledWriterKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	l := newLedger(t)
	wa, wb := startWriter(t, a, l, 100), startWriter(t, b, l, 100)
	for round := range 3 {
		awaitAcks(t, wa, 200)
		a.crash()
		a.start()
		if round == 1 {
			b.crash()
			b.start()
		}
	}
	awaitAcks(t, wa, 200)
	awaitAcks(t, wb, 200)
	wa.stop()
	wb.stop()
	converged(t, soon, a, b)
	l.check(t, a, b)
	t.Logf("%d writes acknowledged over 4 crashes, %d failed", l.rows.Load(), wa.failed.Load()+wb.failed.Load())
}

func TestBrokerRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	l := newLedger(t)
	wa, wb := startWriter(t, a, l, 100), startWriter(t, b, l, 100)
	for range 3 {
		awaitAcks(t, wa, 200)
		awaitAcks(t, wb, 200)
		hub.stop()
		awaitFailures(t, wa)
		hub.start()
	}
	awaitAcks(t, wa, 200)
	wa.stop()
	wb.stop()
	t.Logf("equal %.2f s after the load ended; %d writes acknowledged, %d failed",
		converged(t, soon, a, b).Seconds(), l.rows.Load(), wa.failed.Load()+wb.failed.Load())
	l.check(t, a, b)
}

func TestHundredFlapsLoseNothing(t *testing.T) {
	t.Parallel()
	flaps := 100
	if testing.Short() {
		flaps = 10
	}
	hub := startBroker(t)
	cable := startProxy(t, hub.address())
	a := connectedNode(t, "a", hub.url())
	b := newNode(t, "b", hub.url(), "--server", "nats://"+cable.address()).start()
	l := newLedger(t)
	wa, wb := startWriter(t, a, l, 100), startWriter(t, b, l, 100)
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for range flaps {
		<-pace.C
		cable.cut()
		<-pace.C
		cable.heal()
	}
	wa.stop()
	wb.stop()
	took := converged(t, soon, a, b)
	l.check(t, a, b)
	t.Logf("equal %.2f s after the last of %d flaps; %d writes acknowledged by a, %d by b",
		took.Seconds(), flaps, wa.acked.Load(), wb.acked.Load())
}

// A node that stands still, as a laptop that sleeps, takes up where it was.
func TestFrozenNodeCatchesUp(t *testing.T) {
	t.Parallel()
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	a.put("before", "x")
	converged(t, soon, a, b)
	b.freeze()
	a.load(made("meanwhile/", 3000, 100))
	b.thaw()
	converged(t, soon, a, b)
	if got := b.bucket().Keys; got != 3001 {
		t.Errorf("b has %d keys", got)
	}
}

func awaitAcks(tb testing.TB, w *writer, more int64) {
	tb.Helper()
	from := w.acked.Load()
	await(tb, patience, "writes are acknowledged", func() error {
		if got := w.acked.Load() - from; got < more {
			return fmt.Errorf("%d of %d, %d failed in all", got, more, w.failed.Load())
		}
		return nil
	})
}

func awaitFailures(tb testing.TB, w *writer) {
	tb.Helper()
	from := w.failed.Load()
	await(tb, patience, "a write fails", func() error {
		if w.failed.Load() == from {
			return errors.New("none did")
		}
		return nil
	})
}
