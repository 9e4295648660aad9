package integration_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"replicator/store"
)

// TestDiskThatFillsUp takes the space on a node's disk down to less than the
// node wants to keep: it takes no writes before Pebble meets a full disk, reads
// and serves on, and goes on by itself once there is space again.
func TestDiskThatFillsUp(t *testing.T) {
	disk := smallDisk(t, 192)
	a := embeddedNode(t, "a")
	b := newNode(t, "b", a.url, "--server", a.url)
	b.dir = filepath.Join(disk, "b")
	b.start()
	pid := b.proc.pid()
	l := newLedger(t)
	wa, wb := startWriter(t, a, l, 100), startWriter(t, b, l, 100)
	awaitAcks(t, wa, 100)
	awaitAcks(t, wb, 100)

	filler := filepath.Join(disk, "filler")
	fillUpTo(t, disk, filler, 40<<20)
	awaitFailures(t, wb)
	b.cli("put", "refused", "v").refused(t, exitFailed, "disk")
	await(t, patience, "it says so", func() error {
		s, err := b.tryStatus()
		if err == nil && s.NoWrite == "" {
			err = errors.New("read_only is empty")
		}
		return err
	})
	b.cli("ls").ok(t)
	b.cli("export").ok(t)

	// A peer that has nothing pulls from it, while another one's writes come in.
	fresh := connectedNode(t, "c", a.url)
	fresh.awaitKeys(patience, 150)
	awaitAcks(t, wa, 200)

	must(t, os.Remove(filler))
	took := await(t, 5*time.Second, "writes come back", func() error {
		if r := b.cli("put", "space", "is back"); r.code != exitDone {
			return errors.New(r.String())
		}
		return nil
	})
	t.Logf("writes came back after %v", took)
	awaitAcks(t, wb, 50)
	wa.stop()
	wb.stop()
	if !b.proc.running() || b.proc.pid() != pid {
		t.Error("it was started again")
	}
	converged(t, patience, a, b, fresh)
	l.check(t, a, b, fresh)
	b.restart()
	converged(t, patience, a, b, fresh)
	l.check(t, b)
}

// fillUpTo writes to path until so many bytes are free on its disk.
func fillUpTo(tb testing.TB, disk, path string, free uint64) {
	tb.Helper()
	file, err := os.Create(path)
	must(tb, err)
	defer file.Close() //nolint:errcheck // nothing of it is read
	for block := make([]byte, 1<<20); ; {
		left, err := store.FreeBytes(disk)
		must(tb, err)
		if left <= free {
			return
		}
		if _, err := file.Write(block); err != nil {
			tb.Fatal(fmt.Errorf("filled too much: %w", err))
		}
	}
}
