package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"replicator/store"
)

// faulty fails, while on, the writing operations on files that the test picks.
func faulty(fs vfs.FS, on *atomic.Bool, pick func(op errorfs.Op) bool) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && pick(op) {
			return syscall.ENOSPC
		}
		return nil
	}))
}

func files(suffix string, kinds ...errorfs.OpKind) func(errorfs.Op) bool {
	return func(op errorfs.Op) bool {
		return strings.HasSuffix(op.Path, suffix) && (len(kinds) == 0 || slices.Contains(kinds, op.Kind))
	}
}

func manifest(op errorfs.Op) bool { return strings.Contains(op.Path, "MANIFEST") }

func openFaulty(t *testing.T, fs vfs.FS, failed chan error) (*store.Store, *store.Bucket) {
	t.Helper()
	kv, err := store.OpenPebble("db", store.PebbleOptions{
		FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Logger: quiet(),
		OnFailure: func(err error) { failed <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, kv, "n1", 1)
	return s, join(t, s, "b")
}

// TestFailingDiskMakesTheStoreReadOnly fails the WAL under a sync and under a
// commit that has to change to a new WAL, where an error that reached Pebble
// would end the process, and the manifest under a flush.
func TestFailingDiskMakesTheStoreReadOnly(t *testing.T) {
	for name, pick := range map[string]func(errorfs.Op) bool{
		"wal":        files(".log"),
		"wal sync":   files(".log", errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo),
		"wal create": files(".log", errorfs.OpCreate, errorfs.OpReuseForWrite),
		"folder":     files("db", errorfs.OpFileSync),
		"manifest":   manifest,
	} {
		for _, syncing := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " sync ", syncing), func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				var on atomic.Bool
				failed := make(chan error, 10)
				s, b := openFaulty(t, faulty(mem, &on, pick), failed)
				write(t, b, noon, put("before", "1"))
				if err := s.Sync(); err != nil {
					t.Fatal(err)
				}
				on.Store(true)
				var err error
				large := strings.Repeat("x", 4<<10)
				for i := 0; i < 2000 && err == nil; i++ {
					_, err = b.Write(noon, []store.Op{put(fmt.Sprint("k", i%50), large)})
					if syncing && err == nil {
						err = s.Sync()
					}
				}
				var ro *store.ReadOnlyError
				if !errors.As(err, &ro) || !errors.Is(s.Failed(), syscall.ENOSPC) {
					t.Fatal(err, s.Failed())
				}
				on.Store(false)
				if _, err := b.Write(noon, []store.Op{put("k", "v")}); !errors.As(err, &ro) {
					t.Fatal("writes came back:", err)
				}
				if err := s.Sync(); !errors.As(err, &ro) {
					t.Fatal("sync came back:", err)
				}
				if value(t, b, "before") != "1" || len(all(t, b.Scan(store.ScanOptions{}))) == 0 {
					t.Fatal("reads stopped")
				}
				select {
				case err := <-failed:
					if err == nil {
						t.Fatal("failed without a cause")
					}
				case <-time.After(10 * time.Second):
					t.Fatal("OnFailure was not called")
				}
				durable := b.DurableClock()
				if err := s.Close(); err == nil {
					t.Fatal("closed as if nothing had happened")
				}
				crashed := mem.CrashClone(vfs.CrashCloneCfg{})
				again := join(t, open(t, openPebble(t, crashed, "db"), "n1", 2), "b")
				check(t, again)
				if !again.Clock().GE(durable) || value(t, again, "before") != "1" {
					t.Fatal("lost what was durable")
				}
			})
		}
	}
}

// TestFlushThatFailsForAWhile sees the disk full for tables, then free again.
func TestFlushThatFailsForAWhile(t *testing.T) {
	var on atomic.Bool
	s, b := openFaulty(t, faulty(vfs.NewMem(), &on, files(".sst")), make(chan error, 10))
	on.Store(true)
	time.AfterFunc(time.Second, func() { on.Store(false) })
	large := strings.Repeat("x", 4<<10)
	for i := range 600 {
		write(t, b, noon, put(fmt.Sprint("k", i%50), large))
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	check(t, b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestHeldFolderSaysWhoHoldsIt(t *testing.T) {
	dir := t.TempDir()
	o := store.PebbleOptions{Logger: quiet(), Holder: "node n1"}
	kv, err := store.OpenPebble(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kv.Close() }()
	var locked *store.LockedError
	_, err = store.OpenPebble(dir, o)
	if !errors.As(err, &locked) || !strings.Contains(locked.Holder, fmt.Sprintf("process %d (node n1)", os.Getpid())) {
		t.Fatal(err)
	}
	if os.Getenv("STORE_CHILD") == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestChildMeetsALock$")
		child.Env = append(os.Environ(), "STORE_CHILD="+dir)
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func TestChildMeetsALock(t *testing.T) {
	dir := os.Getenv("STORE_CHILD")
	if dir == "" {
		t.Skip("run by TestHeldFolderSaysWhoHoldsIt")
	}
	_, err := store.OpenPebble(dir, store.PebbleOptions{Logger: quiet()})
	var locked *store.LockedError
	if !errors.As(err, &locked) || !strings.Contains(locked.Holder, fmt.Sprintf("process %d (node n1)", os.Getppid())) {
		t.Fatal(err)
	}
}

func TestUnreadableFolderIsOneClearLine(t *testing.T) {
	mem := vfs.NewMem()
	kv := openPebble(t, mem, "db")
	write(t, join(t, open(t, kv, "n1", 1), "b"), noon, put("k", "v"))
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := mem.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if strings.HasPrefix(name, "MANIFEST") {
			f, err := mem.Create("db/"+name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("garbage garbage garbage garbage")); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = store.OpenPebble("db", store.PebbleOptions{FS: mem, Logger: quiet()})
	var bad *store.UnreadableError
	if !errors.As(err, &bad) || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	_, err = store.OpenPebble("db", store.PebbleOptions{FS: mem, Logger: quiet()})
	if !errors.As(err, &bad) {
		t.Fatal("lock left behind:", err)
	}
}

func TestNewerPebbleFormatIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	db, err := pebble.Open("db", &pebble.Options{FS: mem, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleQuiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := mem.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if strings.HasPrefix(name, "marker.format-version.") {
			if err := mem.Rename("db/"+name, "db/marker.format-version.000900.900"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := store.OpenPebble("db", store.PebbleOptions{FS: mem, Logger: quiet()}); !errors.Is(err, store.ErrNewerFormat) {
		t.Fatal(err)
	}
}

type pebbleQuiet struct{}

func (pebbleQuiet) Infof(string, ...any)           {}
func (pebbleQuiet) Errorf(string, ...any)          {}
func (pebbleQuiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
