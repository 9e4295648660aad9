package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/oplog"
	"replicator/store"
)

func openReplica(tb testing.TB, kv store.KV, start uint64) (*store.Store, error) {
	tb.Helper()
	return store.Open(kv, noon, store.Options{Node: "r", Nonce: nonce(100 + start), Epoch: epochs(start), Replica: true})
}

func replicaBucket(tb testing.TB, kv store.KV) (*store.Store, *store.Bucket) {
	tb.Helper()
	s, err := openReplica(tb, kv, 1)
	if err != nil {
		tb.Fatal(err)
	}
	return s, join(tb, s, "b")
}

func TestReplicaNeverWrites(t *testing.T) {
	s, b := replicaBucket(t, store.NewMap())
	if _, err := b.Write(noon, []store.Op{put("k", "v")}); !errors.Is(err, store.ErrReplica) {
		t.Errorf("a write was answered with %v", err)
	}
	if s.Sync() != nil || !b.Origin().IsZero() || b.Keys() != 0 {
		t.Error("the write left something")
	}
}

// TestStoreThatWroteIsNoReplica: it may hold what nobody else has. The other way
// round is fine, once.
func TestStoreThatWroteIsNoReplica(t *testing.T) {
	m := store.NewMap()
	s, b := replicaBucket(t, m)
	apply(t, b, noon, live(elsewhere(t)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	s = open(t, m, "r", 2)
	b = join(t, s, "b")
	if err := b.Wipe(nil, nil); !errors.Is(err, store.ErrNoReplica) {
		t.Errorf("a master was wiped: %v", err)
	}
	write(t, b, noon, put("own", "v"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Reopen()
	if _, err := openReplica(t, m, 3); !errors.Is(err, store.ErrHasWritten) {
		t.Errorf("a store that wrote opens as a replica: %v", err)
	}
	s = open(t, m, "r", 4)
	if b := join(t, s, "b"); value(t, b, "own") != "v" || b.Keys() != 3 {
		t.Error("being refused changed the store")
	}
}

// elsewhere is what another node wrote: two keys, and one that is deleted.
func elsewhere(tb testing.TB) store.Written {
	tb.Helper()
	_, _, b := fresh(tb)
	w := write(tb, b, noon, put("x", "1"), put("y", "1"), put("gone", "1"))
	d := write(tb, b, noon, del("gone"))
	w.Entries, w.Last = append(w.Entries[:2:2], d.Entries...), d.Last
	return w
}

// stale is an older write of another node than the delete in elsewhere.
func stale() *oplog.Live {
	o := oplog.Origin{Node: "late", Epoch: 5}
	e := oplog.Entry{Key: []byte("gone"), Value: []byte("old"), Stamp: oplog.Stamp{HLC: oplog.HLCAt(noon) - 5, Origin: o, Seq: 1}}
	return &oplog.Live{Bucket: "b", Origin: o, First: 1, Last: 1, Nonce: nonce(9), Entries: []oplog.Entry{e}}
}

// TestReplicaTakesNothingAmbiguous: by whichever road it comes.
func TestReplicaTakesNothingAmbiguous(t *testing.T) {
	_, b := replicaBucket(t, store.NewMap())
	apply(t, b, noon, live(elsewhere(t)))
	if c, err := b.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil || c.Tombstones != 1 {
		t.Fatal(c, err)
	}
	before := b.Digest()
	m := stale()
	if _, err := b.ApplyLive(noon, []*oplog.Live{m}); !errors.Is(err, store.ErrAmbiguous) {
		t.Errorf("live: %v", err)
	}
	if _, err := b.ApplyPage(noon, m.Entries, nil); !errors.Is(err, store.ErrAmbiguous) {
		t.Errorf("page: %v", err)
	}
	if b.Digest() != before || value(t, b, "gone") != "-" {
		t.Error("something of it was merged")
	}
	// Its own row, that the donor of a reconcile never saw and may have deleted.
	_, other := replicaBucket(t, store.NewMap())
	apply(t, other, noon, m)
	_, err := other.EndReconcile(noon, store.Stretch{
		Clock: b.Clock(), GCTS: b.Guard(), HLC: b.HLC(),
		Token: store.Token{Claim: b.Clock(), Rec: &store.Reconcile{GCV: oplog.Clock{}, GCTS: b.Guard()}},
	}, nil)
	if !errors.Is(err, store.ErrAmbiguous) {
		t.Errorf("reconcile: %v", err)
	}
	if err := other.Wipe(nil, nil); err != nil || other.Reconciling() {
		t.Errorf("wiped in a reconcile: %v", err)
	}
	apply(t, other, noon, live(elsewhere(t)))
	check(t, other)
}

// TestWipeIsWholeInEveryCrash: a crash leaves all of the bucket or nothing of it,
// and its node the same.
func TestWipeIsWholeInEveryCrash(t *testing.T) {
	m := store.NewMap()
	s, b := replicaBucket(t, m)
	apply(t, b, noon, live(elsewhere(t)), stale())
	if _, err := b.ApplyPage(noon, nil, &store.Token{Cursor: []byte("k"), Claim: b.Clock()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	other := join(t, s, "b2")
	full, hlc := b.Digest(), b.HLC()
	unsynced := m.Clone()
	broken := errors.New("broken")
	m.SetFault(func(op string) error { return map[string]error{"sync": broken}[op] })
	if err := b.Wipe(nil, nil); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	m.SetFault(nil)
	var crashed []*store.Map
	for keep := range m.UnsyncedCommits() + 1 {
		crashed = append(crashed, m.Clone())
		crashed[keep].Crash(keep)
	}
	m = unsynced.Clone()
	m.Crash(0)
	_, b = replicaBucket(t, m)
	if err := b.Wipe(nil, nil); err != nil {
		t.Fatal(err)
	}
	if d := b.Durable(); d.Clock != 0 || d.Sum != 0 || len(b.DurableClock()) > 0 || b.HLC() != hlc {
		t.Errorf("durable %+v, clock %v", d, b.DurableClock())
	}
	check(t, b)
	m.Crash(0)
	for i, kv := range append(crashed, unsynced, m) {
		s, err := openReplica(t, kv, uint64(10+i))
		if err != nil {
			t.Fatal(err)
		}
		b := join(t, s, "b")
		check(t, b)
		if d := b.Digest(); !d.Same(full) && (d.Clock != 0 || d.Sum != 0 || b.Keys()+b.Tombstones() > 0) {
			t.Errorf("half of the bucket is left: %+v", d)
		}
		if kv == m && b.Digest().Same(full) {
			t.Error("a wipe that was answered is gone")
		}
		if _, has, err := b.Token(); err != nil || has && b.Digest().Clock == 0 {
			t.Error("a token is left", err)
		}
		if other.Keys() != 0 {
			t.Error("another bucket changed")
		}
		apply(t, b, noon, live(elsewhere(t)))
		check(t, b)
	}
}

// TestWipedPebbleStaysConsistent: range tombstones hide all that was there, and
// nothing that comes later, over restarts and crashes.
func TestWipedPebbleStaysConsistent(t *testing.T) {
	fs := vfs.NewCrashableMem()
	_, b := replicaBucket(t, openPebble(t, fs, "db"))
	for range 3 {
		apply(t, b, noon, live(elsewhere(t)), stale())
		check(t, b)
		snap, err := b.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Wipe(nil, nil); err != nil {
			t.Fatal(err)
		}
		if rows := all(t, snap.Rows(nil, nil)); len(rows) < 3 {
			t.Errorf("a snapshot from before shows %d rows", len(rows))
		}
		if err := snap.Close(); err != nil {
			t.Fatal(err)
		}
		check(t, b)
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
		s, err := openReplica(t, openPebble(t, fs, "db"), 7)
		if err != nil {
			t.Fatal(err)
		}
		b = join(t, s, "b")
		if b.Keys()+b.Tombstones() > 0 || len(b.Clock()) > 0 {
			t.Errorf("%d rows after a wipe and a crash", b.Keys())
		}
		check(t, b)
	}
}

// broken returns disks of a node that never wrote, whose reconcile was broken off in
// the midst of carrying out what it found: one row, of z, whose disk is lost, is to be
// issued again.
func broken(t *testing.T) (disks []*store.Map) {
	t.Helper()
	const n = 2500
	w := join(t, open(t, store.NewMap(), "w", 1), "b")
	for i := range n {
		write(t, w, noon.Add(-2*time.Hour), put(fmt.Sprintf("del-%04d", i), "1"))
	}
	m := store.NewMap()
	a := join(t, open(t, m, "a", 2), "b") // which never writes
	pull(t, a, w, true, 1000)
	for i := range n {
		write(t, w, noon.Add(-time.Hour), del(fmt.Sprintf("del-%04d", i)))
	}
	collect(t, w, noon, force())
	z := join(t, open(t, store.NewMap(), "z", 3), "b")
	write(t, z, noon.Add(-90*time.Minute), put("only", "here"))
	pull(t, a, z, true, 1000)
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	disk := m.Clone()
	for keep := range 12 {
		crashed := disk.Clone()
		s := open(t, crashed, "a", 4)
		again, _ := s.Bucket("b")
		if err := crashed.Sync(); err != nil {
			t.Fatal(err)
		}
		reconcile(t, again, w, 1000, -1)
		crashed.Crash(keep)
		disks = append(disks, crashed)
	}
	return disks
}

// TestReplicaIsNotEmptiedByOpen: a master that crashed in the midst of carrying out a
// reconcile, which has to write, is opened as a replica. Nothing says that anybody has
// what it holds: it does not start so, or starts the reconcile over.
func TestReplicaIsNotEmptiedByOpen(t *testing.T) {
	refused := 0
	for keep, disk := range broken(t) {
		opened, err := store.Open(disk.Clone(), noon, store.Options{Node: "a", Nonce: nonce(77), Epoch: epochs(9), Replica: true})
		if errors.Is(err, store.ErrAmbiguous) {
			if refused++; !strings.Contains(err.Error(), "as a master") {
				t.Errorf("crash after %d commits: no remedy in: %v", keep, err)
			}
			disk = disk.Clone()
			if opened, err = store.Open(disk, noon, store.Options{Node: "a", Nonce: nonce(78), Epoch: epochs(9)}); err != nil {
				t.Fatalf("crash after %d commits: as a master: %v", keep, err)
			}
		}
		if err != nil && !errors.Is(err, store.ErrHasWritten) {
			t.Fatalf("crash after %d commits: %v", keep, err)
		}
		if err != nil {
			continue
		}
		if b, _ := opened.Bucket("b"); len(b.Clock()) == 0 || value(t, b, "only") != "here" {
			t.Errorf("crash after %d commits: only is %q, %d keys", keep, value(t, b, "only"), b.Keys())
		}
	}
	if refused == 0 {
		t.Error("no crash left a sweep half done")
	}
}

// TestWipeIsOfWhatWasLookedAt: a write that came since is not thrown away.
func TestWipeIsOfWhatWasLookedAt(t *testing.T) {
	_, _, w := fresh(t)
	write(t, w, noon, put("k", "v"))
	_, b := replicaBucket(t, store.NewMap())
	pull(t, b, w, true, 10)
	clock, ahead := b.Clock(), b.Ahead()
	write(t, w, noon, put("late", "v"))
	pull(t, b, w, true, 10)
	if err := b.Wipe(clock, ahead); !errors.Is(err, store.ErrTaken) || value(t, b, "late") != "v" {
		t.Errorf("%v, late %q", err, value(t, b, "late"))
	}
	if err := b.Wipe(b.Clock(), b.Ahead()); err != nil || b.Keys() != 0 {
		t.Errorf("%v, %d keys", err, b.Keys())
	}
}
