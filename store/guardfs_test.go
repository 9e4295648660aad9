package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"replicator/store"
)

// within fails the test unless do returns in time.
func within(t *testing.T, limit time.Duration, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatal("it hangs")
		return nil
	}
}

// failing is a fault that is on.
func failing() *atomic.Bool {
	on := &atomic.Bool{}
	on.Store(true)
	return on
}

// TestLockThatCannotBeTried: a disk that fails is not another process.
func TestLockThatCannotBeTried(t *testing.T) {
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpLock {
			return syscall.EIO
		}
		return nil
	}))
	_, err := store.OpenPebble("db", store.PebbleOptions{FS: fs, Logger: quiet()})
	var locked *store.LockedError
	if errors.As(err, &locked) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
}

// TestManifestIsOnDiskBeforeItsMarker cuts the power when the marker of a new
// manifest was created and the folder not yet synced, on a disk that keeps no
// order.
func TestManifestIsOnDiskBeforeItsMarker(t *testing.T) {
	mem := vfs.NewCrashableMem()
	kv := openPebble(t, mem, "db")
	write(t, join(t, open(t, kv, "n1", 1), "b"), noon, put("k", "v"))
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	var left []*vfs.MemFS
	created := false
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch {
		case strings.Contains(op.Path, "marker.manifest") && op.Kind == errorfs.OpCreate:
			created = true
		case created && op.Path == "db" && op.Kind == errorfs.OpFileSync && left == nil:
			for seed := range uint64(32) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				left = append(left, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rnd}))
			}
		}
		return nil
	}))
	openPebble(t, fs, "db")
	if left == nil {
		t.Fatal("no new manifest")
	}
	for _, fs := range left {
		b := join(t, open(t, openPebble(t, fs, "db"), "n1", 3), "b")
		check(t, b)
		if value(t, b, "k") != "v" {
			t.Fatal("lost what was closed cleanly")
		}
	}
}

// TestOpenThatCannotFlush starts on a disk that has room for no table.
func TestOpenThatCannotFlush(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, openPebble(t, mem, "db"), "n1", 1)
	write(t, join(t, s, "b"), noon, put("k", "v"))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	err := within(t, 30*time.Second, func() error {
		_, err := store.OpenPebble("db", store.PebbleOptions{FS: faulty(left, failing(), files(".sst")), Logger: quiet()})
		return err
	})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "full") {
		t.Fatal(err)
	}
	b := join(t, open(t, openPebble(t, left.CrashClone(vfs.CrashCloneCfg{}), "db"), "n1", 2), "b")
	if value(t, b, "k") != "v" {
		t.Fatal("lost what was durable")
	}
}

// TestCloseUnderAFlushThatEndsPebble: the manifest fails while Close waits for
// the flush that writes it.
func TestCloseUnderAFlushThatEndsPebble(t *testing.T) {
	var on atomic.Bool
	flushing := make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !manifest(op) || !on.Swap(false) {
			return nil
		}
		close(flushing)
		time.Sleep(200 * time.Millisecond) // Close waits by then; if not, it must end as well
		return syscall.EIO
	}))
	s, b := openFaulty(t, fs, make(chan error, 1))
	on.Store(true)
	large := strings.Repeat("x", 4<<10)
	for i := 0; on.Load(); i++ {
		_, err := b.Write(noon, []store.Op{put(fmt.Sprint("k", i%50), large)})
		if err != nil && on.Load() { // the last may wait for the flush, and fail with it
			t.Fatal(err)
		}
	}
	<-flushing
	if err := within(t, 30*time.Second, s.Close); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
}

// TestFailedStoreIsQuiet: Pebble tries a flush that failed again, for ever.
func TestFailedStoreIsQuiet(t *testing.T) {
	t.Cleanup(store.SetStallLimit(200 * time.Millisecond))
	var tries atomic.Int64
	on := failing()
	fs := faulty(vfs.NewMem(), on, func(op errorfs.Op) bool {
		if !files(".sst")(op) {
			return false
		}
		tries.Add(1)
		return true
	})
	s, b := openFaulty(t, fs, make(chan error, 1))
	large := strings.Repeat("x", 4<<10)
	for s.Failed() == nil {
		_, _ = b.Write(noon, []store.Op{put("k", large)}) // until it fails
	}
	before := tries.Load()
	time.Sleep(time.Second)
	if n := tries.Load() - before; n > 50 {
		t.Fatalf("%d operations in a second on a disk that fails", n)
	}
	on.Store(false)
}
