package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/oplog"
	"replicator/store"
)

func TestEveryStartThatWritesIsANewOrigin(t *testing.T) {
	m, s, b := fresh(t)
	if !b.Origin().IsZero() || !s.PrevNonce().IsZero() {
		t.Fatal(b.Origin(), s.PrevNonce())
	}
	other := join(t, s, "c")
	first := write(t, b, noon, put("a", "1")).Origin
	if o := write(t, other, noon, put("a", "1")).Origin; o != first {
		t.Fatal("two origins in one start", first, o)
	}
	was := s.Nonce()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	s = open(t, m, "", 2)
	b, _ = s.Bucket("b")
	if s.Node() != "n1" || s.PrevNonce() != was || !b.Origin().IsZero() || b.Durable().Epoch != 0 {
		t.Fatal(s.Node(), s.PrevNonce(), b.Origin())
	}
	w := write(t, b, noon, put("b", "1"))
	if w.Origin == first || w.First != 1 || b.Seq(first) != 1 {
		t.Fatal(w.Origin, w.First)
	}
	check(t, b)
}

func TestEpochsAreNeverZeroOrUsed(t *testing.T) {
	m := store.NewMap()
	for start := range 3 {
		draws := []uint64{0, 5, 0, 6, 5, 7}
		s, err := store.Open(m, noon, store.Options{Node: "n1", Nonce: nonce(uint64(start) + 1), Epoch: func() uint64 {
			e := draws[0]
			draws = append(draws[1:], e)
			return e
		}})
		if err != nil {
			t.Fatal(err)
		}
		if o := write(t, join(t, s, "b"), noon, put("k", "v")).Origin; o.Epoch != uint64(5+start) {
			t.Fatal(start, o)
		}
		m.Crash(m.UnsyncedCommits())
	}
	s, _ := store.Open(m, noon, store.Options{Nonce: nonce(9), Epoch: func() uint64 { return 0 }})
	if _, err := join(t, s, "b").Write(noon, []store.Op{put("k", "v")}); err == nil {
		t.Fatal("wrote without an epoch")
	}
}

func TestOpenRefusesWhatIsNotItsOwn(t *testing.T) {
	m := store.NewMap()
	if _, err := store.Open(m, noon, store.Options{Nonce: nonce(1)}); !errors.Is(err, store.ErrNoNode) {
		t.Fatal(err)
	}
	open(t, m, "n1", 1)
	var name *store.NodeNameError
	_, err := store.Open(m, noon, store.Options{Node: "n2", Nonce: nonce(2)})
	if !errors.As(err, &name) || name.Stored != "n1" {
		t.Fatal(err)
	}
	b := m.NewBatch()
	b.Set([]byte("\x01format"), []byte{0, 0, 0, 2})
	if err := m.Commit(b); err != nil {
		t.Fatal(err)
	}
	before := m.UnsyncedCommits()
	if _, err := store.Open(m, noon, store.Options{Nonce: nonce(2)}); !errors.Is(err, store.ErrNewerFormat) {
		t.Fatal(err)
	}
	if err := store.Rename(m, "n3"); !errors.Is(err, store.ErrNewerFormat) {
		t.Fatal(err)
	}
	if m.UnsyncedCommits() != before {
		t.Fatal("a newer store was touched")
	}
}

func TestRenameKeepsOldOrigins(t *testing.T) {
	m, s, b := fresh(t)
	old := write(t, b, noon, put("k", "1")).Origin
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	if err := store.Rename(m, "not a name"); err == nil {
		t.Fatal("took a bad name")
	}
	if err := store.Rename(m, "n2"); err != nil {
		t.Fatal(err)
	}
	s = open(t, m, "n2", 2)
	b, _ = s.Bucket("b")
	w := write(t, b, noon, put("k", "2"))
	if w.Origin.Node != "n2" || b.Seq(old) != 1 || get(t, b, "k").Prev.Origin != old {
		t.Fatal(w.Origin, b.Clock())
	}
	check(t, b)
}

func TestBuckets(t *testing.T) {
	m := store.NewMap()
	s, err := store.Open(m, noon, store.Options{Node: "n1", Nonce: nonce(1), MaxBuckets: 2})
	if err != nil {
		t.Fatal(err)
	}
	y, x := join(t, s, "y"), join(t, s, "x")
	if y == x || join(t, s, "x") != x || !slices.Equal(s.Buckets(), []string{"x", "y"}) {
		t.Fatal(s.Buckets())
	}
	if _, err := s.Join("z"); !errors.Is(err, store.ErrTooManyBuckets) {
		t.Fatal(err)
	}
	if _, err := s.Join("a.b"); err == nil {
		t.Fatal("took a bad name")
	}
	write(t, x, noon, put("k", "x"))
	write(t, y, noon, put("k", "y"))
	m.Crash(m.UnsyncedCommits())
	s = open(t, m, "n1", 2)
	x, _ = s.Bucket("x")
	y, _ = s.Bucket("y")
	if value(t, x, "k") != "x" || value(t, y, "k") != "y" {
		t.Fatal("buckets mixed up")
	}
	check(t, x)
	check(t, y)
}

func TestClosedStoreAnswersErrClosed(t *testing.T) {
	for name, kv := range kvs(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, kv, "n1", 1)
			b := join(t, s, "b")
			write(t, b, noon, put("a", "1"), put("b", "2"))
			snap, err := b.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			var scanErr error
			for _, err := range b.Scan(store.ScanOptions{}) {
				if err != nil {
					scanErr = err
				} else if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			_, writeErr := b.Write(noon, []store.Op{put("k", "v")})
			_, liveErr := b.ApplyLive(noon, nil)
			_, pageErr := b.ApplyPage(noon, nil, nil)
			_, _, getErr := b.Get([]byte("a"))
			_, snapErr := b.Snapshot()
			_, joinErr := s.Join("new")
			_, collectErr := b.Collect(noon, store.CollectOptions{Force: true, Upto: 1 << 63})
			_, compareErr := b.Compare(noon, store.Stretch{Token: store.Token{Rec: &store.Reconcile{}}})
			var rowsErr, logErr error
			for _, err := range snap.Rows(nil, nil) {
				rowsErr = err
			}
			for _, err := range snap.Log(nil) {
				logErr = err
			}
			for what, err := range map[string]error{
				"scan": scanErr, "write": writeErr, "live": liveErr, "page": pageErr, "get": getErr,
				"snapshot": snapErr, "join": joinErr, "rows": rowsErr, "log": logErr,
				"end": b.EndPull(noon, nil, nil), "collect": collectErr, "compare": compareErr, "sync": s.Sync(), "check": b.Check(),
			} {
				if !errors.Is(err, store.ErrClosed) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := errors.Join(snap.Close(), snap.Close(), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	m, s, b := fresh(t)
	write(t, b, noon, put("k", "1"))
	try := func() error {
		_, err := b.Write(noon, []store.Op{put("k", "2")})
		return err
	}
	cause := errors.New("another instance")
	s.SetReadOnly(cause)
	var ro *store.ReadOnlyError
	if err := try(); !errors.As(err, &ro) || !errors.Is(err, cause) {
		t.Fatal(err)
	}
	s.GuardDisk(10, 100)
	s.ClearReadOnly()
	var low *store.LowDiskError
	if err := try(); !errors.As(err, &low) || low.Free != 10 {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal("a full disk must not stop a sync:", err)
	}
	s.GuardDisk(101, 100)
	if try() == nil {
		t.Fatal("guard flaps")
	}
	s.GuardDisk(200, 100)
	if err := try(); err != nil {
		t.Fatal(err)
	}

	broken := errors.New("disk on fire")
	m.SetFault(func(string) error { return broken })
	before := b.Digest()
	if err := try(); !errors.As(err, &ro) || !errors.Is(err, broken) {
		t.Fatal(err)
	}
	m.SetFault(nil)
	if err := try(); !errors.Is(err, broken) || !errors.Is(s.Failed(), broken) {
		t.Fatal("a failed disk must not come back", err)
	}
	if b.Digest() != before || value(t, b, "k") != "2" {
		t.Fatal("memory moved without the disk")
	}
	s.ClearReadOnly()
	if err := s.Sync(); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

// A busyKV has something happen right after the disk was synced.
type busyKV struct {
	store.KV
	after func()
}

func (kv *busyKV) Sync() error {
	err := kv.KV.Sync()
	if kv.after != nil {
		kv.after()
	}
	return err
}

func TestDurableFollowsTheSync(t *testing.T) {
	kv := &busyKV{KV: store.NewMap()}
	s := open(t, kv, "n1", 1)
	b := join(t, s, "b")
	write(t, b, noon, put("a", "1"))
	if b.DurableSeq() != 0 || len(b.DurableClock()) != 0 || b.Durable().Sum != 0 {
		t.Fatal("durable before a sync")
	}
	kv.after = func() { write(t, b, noon, put("b", "1")) }
	synced := b.Digest()
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if b.Durable() != synced || b.DurableSeq() != 1 || b.DurableClock()[b.Origin()] != 1 {
		t.Fatal("a write that came too late for the sync counts as durable")
	}
	kv.after = nil
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if b.DurableSeq() != 2 || b.Durable() != b.Digest() || !b.DurableClock().Equal(b.Clock()) {
		t.Fatal(b.Durable(), b.Digest())
	}
}

// TestSnapshotsAreConsistentWhileWritesGoOn runs under -race.
func TestSnapshotsAreConsistentWhileWritesGoOn(t *testing.T) {
	for name, kv := range kvs(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, kv, "n1", 1)
			b := join(t, s, "b")
			var wg sync.WaitGroup
			for w := range 2 {
				wg.Go(func() {
					for i := range 150 {
						if _, err := b.Write(noon, []store.Op{put(fmt.Sprint(w, i%20), "v"), put(fmt.Sprint("x", i%7), "v")}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Go(func() {
				for range 30 {
					if err := s.Sync(); err != nil {
						t.Error(err)
					}
					if d := b.Durable(); d.Own > b.Seq(b.Origin()) {
						t.Error("durable is ahead")
					}
				}
			})
			for range 40 {
				snap, err := b.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				var high oplog.Seq
				var rows uint64
				for e, err := range snap.Rows(nil, nil) {
					if err != nil {
						t.Fatal(err)
					}
					high, rows = max(high, e.Stamp.Seq), rows+1
				}
				log := all(t, snap.Log(nil))
				if high != snap.Own || snap.Clock[snap.Origin] != snap.Own || rows != snap.Count || len(log) != int(rows) {
					t.Fatal(high, snap.Own, rows, snap.Count, len(log))
				}
				if err := snap.Close(); err != nil {
					t.Fatal(err)
				}
				_ = all(t, b.Scan(store.ScanOptions{Now: noon}))
				check(t, b)
			}
			wg.Wait()
			check(t, b)
		})
	}
}

func TestStoreOnARealDisk(t *testing.T) {
	dir := t.TempDir()
	for start := uint64(1); start < 4; start++ {
		kv := openPebble(t, vfs.Default, dir)
		s := open(t, kv, "n1", start)
		b := join(t, s, "b")
		if start > 1 && b.Keys() != start {
			t.Fatal(b.Keys())
		}
		write(t, b, noon, put(fmt.Sprint(start), "v"), put("largest", strings.Repeat("x", oplog.MaxValue)))
		check(t, b)
		if len(get(t, b, "largest").Value) != oplog.MaxValue {
			t.Fatal("largest value came back short")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if free, err := store.FreeBytes(dir); err != nil || free == 0 {
		t.Fatal(free, err)
	}
}
