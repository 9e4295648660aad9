package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// tableData is where rows lie, by bucket and key.
const tableData = 0x10

// dataRow finds the stored row of a key in a store of one bucket.
func dataRow(tb testing.TB, kv store.KV, key string) (at, value []byte) {
	tb.Helper()
	at = append([]byte{tableData, 0, 0, 0, 1}, key...)
	value, ok, err := kv.Get(at)
	if err != nil || !ok {
		tb.Fatalf("no row %q: %v", key, err)
	}
	return at, value
}

// alter changes a stored row behind the store's back.
func alter(tb testing.TB, kv store.KV, key string, change func(value []byte) []byte) {
	tb.Helper()
	at, value := dataRow(tb, kv, key)
	batch := kv.NewBatch()
	if value = change(value); value == nil {
		batch.Delete(at)
	} else {
		batch.Set(at, value)
	}
	if err := kv.Commit(batch); err != nil {
		tb.Fatal(err)
	}
}

// flip changes the last bit of a stored row: of its value.
func flip(value []byte) []byte {
	value[len(value)-1] ^= 1
	return value
}

func lose([]byte) []byte { return nil }

// scrub runs a whole scrub.
func scrub(tb testing.TB, b *store.Bucket) *store.Scrub {
	tb.Helper()
	s := b.Scrub()
	for more := true; more; {
		var err error
		if more, err = s.Step(); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// repair brings the rows of the parts that differ, or are bad, from another.
func repair(tb testing.TB, b, from *store.Bucket) store.Applied {
	tb.Helper()
	mine := b.Sums()
	snap, err := from.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	var wanted [oplog.HashParts]bool
	for n, sum := range mine.Parts {
		wanted[n] = sum != snap.Sums[n]
	}
	for _, n := range mine.Bad {
		wanted[n] = true
	}
	a, err := b.Repair(noon, all(tb, snap.Parts(&wanted, nil)), store.Mending{
		Gated: mine.Gated, Covered: snap.Clock.GE(mine.Clock), Clock: snap.Clock, Last: true, Unsure: snap.Bad,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// twins are two stores with the same writes.
func twins(tb testing.TB) (kv *store.Map, a, b *store.Bucket) {
	tb.Helper()
	kv, _, a = fresh(tb)
	b = join(tb, open(tb, store.NewMap(), "n2", 2), "b")
	for i := range 50 {
		write(tb, a, noon, put(fmt.Sprint("k", i), fmt.Sprint("v", i)))
	}
	write(tb, a, noon, del("k7"))
	pull(tb, b, a, true, 100)
	return kv, a, b
}

func alike(tb testing.TB, a, b *store.Bucket) {
	tb.Helper()
	check(tb, a)
	check(tb, b)
	if x, y := a.Digest(), b.Digest(); !x.Same(y) {
		tb.Errorf("%+v and %+v", x, y)
	}
}

func TestBadRowIsFoundNotServedAndRepaired(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"value":   flip,
		"hash":    func(v []byte) []byte { v[len(v)-5] ^= 4; return v },
		"hlc":     func(v []byte) []byte { v[3] ^= 4; return v },
		"version": func(v []byte) []byte { v[0] = 9; return v },
		"short":   func(v []byte) []byte { return v[:5] },
		"empty":   func([]byte) []byte { return []byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			kv, a, b := twins(t)
			alter(t, kv, "k3", change)
			var corrupt *store.CorruptError
			if _, _, err := a.Get([]byte("k3")); !errors.As(err, &corrupt) {
				t.Errorf("reads as %v", err)
			}
			snap, err := a.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = snap.Close() }()
			for road, rows := range map[string]func(func(oplog.Entry, error) bool){"by key": snap.Rows(nil, nil), "by log": snap.Log(nil)} {
				err := error(nil)
				for e, failed := range rows {
					if err = failed; string(e.Key) == "k3" {
						t.Errorf("served %s", road)
					}
				}
				if !errors.As(err, &corrupt) {
					t.Errorf("%s: %v", road, err)
				}
			}
			if s := scrub(t, a); s.Bad != 1 || len(s.Found) != 1 || string(s.Found[0]) != "k3" || a.BadRows() != 1 {
				t.Errorf("scrub found %d bad rows, %q", s.Bad, s.Found)
			}
			if s := scrub(t, a); s.Bad != 1 || len(s.Found) != 0 || s.Fixed != 0 {
				t.Errorf("scrub again: %+v", s.Found)
			}
			if r := repair(t, a, b); len(r.Changes) != 1 || string(r.Changes[0].Entry.Value) != "v3" {
				t.Errorf("repaired %+v", r.Changes)
			}
			if a.BadRows() != 0 {
				t.Error("still bad")
			}
			if name != "value" && name != "hash" {
				// The sums counted what could be read of the row.
				scrub(t, a)
			}
			alike(t, a, b)
		})
	}
}

func TestLostRowIsPutBack(t *testing.T) {
	kv, a, b := twins(t)
	alter(t, kv, "k3", lose)
	if a.Digest().Sum != b.Digest().Sum {
		t.Fatal("sums kept with writes see what nobody wrote")
	}
	if s := scrub(t, a); s.Fixed == 0 || a.Digest().Sum == b.Digest().Sum {
		t.Fatalf("scrub fixed %d sums", s.Fixed)
	}
	if r := repair(t, b, a); len(r.Changes) != 0 {
		t.Errorf("a row that one lost changed the other: %+v", r.Changes)
	}
	if r := repair(t, a, b); len(r.Changes) != 1 {
		t.Errorf("repaired %+v", r.Changes)
	}
	alike(t, a, b)
}

// TestRepairTakesTheLaterRow: a copy that a bug left behind follows, one that is
// ahead stays.
func TestRepairTakesTheLaterRow(t *testing.T) {
	kv, a, b := twins(t)
	_, old := dataRow(t, kv, "k3")
	write(t, a, noon, put("k3", "newer"))
	pull(t, b, a, true, 100)
	alter(t, kv, "k3", func([]byte) []byte { return old })
	scrub(t, a)
	if r := repair(t, b, a); len(r.Changes) != 0 {
		t.Errorf("the later row went: %+v", r.Changes)
	}
	if repair(t, a, b); value(t, a, "k3") != "newer" || value(t, b, "k3") != "newer" {
		t.Errorf("%s and %s", value(t, a, "k3"), value(t, b, "k3"))
	}
}

// TestOneStampTwoContents: both sides find the same winner, and tell of it.
func TestOneStampTwoContents(t *testing.T) {
	_, a, b := twins(t)
	e := get(t, a, "k3")
	e.Value = []byte("other")
	merged := func(x *store.Bucket, e oplog.Entry) string {
		r, err := x.Repair(noon, []oplog.Entry{e}, store.Mending{Gated: x.Sums().Gated, Covered: true})
		if err != nil || len(r.Forks) != 1 {
			t.Errorf("%+v, %v", r.Forks, err)
		}
		return value(t, x, "k3")
	}
	got := merged(a, e)
	own := get(t, b, "k3")
	if _, err := b.Repair(noon, []oplog.Entry{e}, store.Mending{Gated: b.Sums().Gated, Covered: true}); err != nil {
		t.Fatal(err)
	}
	if e.Hash() > own.Hash() {
		e = own // then b has the winner by now
	}
	if other := merged(b, e); other != got {
		t.Errorf("%q and %q", got, other)
	}
	alike(t, a, b)
}

func TestRepairLeavesCollectedDeletesAlone(t *testing.T) {
	_, a, b := twins(t)
	if c, err := a.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil || c.Tombstones != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	gone := get(t, b, "k7")
	r, err := a.Repair(noon, []oplog.Entry{gone}, store.Mending{Gated: a.Sums().Gated, Covered: true})
	if err != nil || len(r.Changes) != 0 || get(t, a, "k7").Key != nil {
		t.Errorf("a collected delete came back: %+v, %v", r.Changes, err)
	}
	alike(t, a, b)
}

// TestLatePageOfARepairIsRefused: what was deleted and collected meanwhile would
// come back.
func TestLatePageOfARepairIsRefused(t *testing.T) {
	_, a, b := twins(t)
	before := a.Sums()
	late := get(t, b, "k3")
	write(t, a, noon, del("k3"))
	if _, err := a.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Repair(noon, []oplog.Entry{late}, store.Mending{Gated: before.Gated, Covered: true}); !errors.Is(err, store.ErrMoved) {
		t.Errorf("a late page was answered with %v", err)
	}
	if value(t, a, "k3") != "-" {
		t.Error("a delete came back")
	}
}

// TestRowBelowTheGuardIsPutBackAnew is M3 on this road: the key may have been
// deleted by what was collected here.
func TestRowBelowTheGuardIsPutBackAnew(t *testing.T) {
	kv, a, b := twins(t)
	if _, err := a.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	alter(t, kv, "k3", lose)
	scrub(t, a)
	r := repair(t, a, b)
	if len(r.Ambiguous) != 1 || len(r.Reissued.Entries) != 1 || value(t, a, "k3") != "v3" {
		t.Fatalf("%+v", r)
	}
	pull(t, b, a, true, 100)
	scrub(t, a) // the lost row's log row is left
	check(t, a)
	check(t, b)
	if value(t, b, "k3") != "v3" || a.Digest().Sum != b.Digest().Sum {
		t.Error("the copies differ")
	}
}

// TestScrubBesideWrites: what changes before and behind it is counted once.
func TestScrubBesideWrites(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		_, _, b := fresh(t)
		some := func(n int) {
			for range n {
				key := fmt.Sprint("k", rnd.IntN(4000))
				if rnd.IntN(3) == 0 {
					write(t, b, noon, del(key))
				} else {
					write(t, b, noon, put(key, fmt.Sprint(rnd.IntN(9))))
				}
			}
		}
		some(5000)
		s := b.Scrub()
		for more := true; more; {
			var err error
			if more, err = s.Step(); err != nil {
				t.Fatal(err)
			}
			some(200)
			if more && rnd.IntN(3) == 0 {
				if _, err := b.Collect(noon.Add(time.Hour), store.CollectOptions{Force: true, Upto: 1 << 63, Limit: 100}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s.Fixed != 0 || s.Bad != 0 || s.Rows < 1000 {
			t.Errorf("scrub of %d good rows: %d bad, fixed %d sums", s.Rows, s.Bad, s.Fixed)
		}
		check(t, b)
	})
}

// TestWritesGoOverABadRow: local ones and those of others.
func TestWritesGoOverABadRow(t *testing.T) {
	kv, a, b := twins(t)
	alter(t, kv, "k3", flip)
	alter(t, kv, "k4", func(v []byte) []byte { return v[:3] })
	w := write(t, a, noon, put("k3", "new"), put("k5", "x"))
	apply(t, b, noon, live(w))
	apply(t, a, noon, live(write(t, b, noon, put("k4", "from b"))))
	scrub(t, a)
	if value(t, a, "k3") != "new" || value(t, a, "k4") != "from b" || a.BadRows() != 0 {
		t.Errorf("%s %s, %d bad rows", value(t, a, "k3"), value(t, a, "k4"), a.BadRows())
	}
	if a.Digest().Sum != b.Digest().Sum {
		t.Error("the copies differ")
	}
}

// TestBadRowIsRestoredByOneWhoLagsBehind: nobody can follow a node whose streams
// break off at a bad row, so those who lag behind must be able to mend it.
func TestBadRowIsRestoredByOneWhoLagsBehind(t *testing.T) {
	kv, a, b := twins(t)
	write(t, a, noon, put("k9", "ahead"), put("k10", "ahead"))
	alter(t, kv, "k3", flip)
	alter(t, kv, "k9", flip)
	scrub(t, a)
	if r := repair(t, a, b); len(r.Changes) != 1 || value(t, a, "k3") != "v3" {
		t.Errorf("%+v", r.Changes)
	}
	if a.BadRows() != 1 {
		t.Errorf("%d bad rows, want that which nobody else has", a.BadRows())
	}
}

// TestReconcileIsNotServedFromARottenDisk is C7: what is not there was not
// necessarily deleted.
func TestReconcileIsNotServedFromARottenDisk(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{"flip": flip, "lost": lose, "sound": nil} {
		t.Run(name, func(t *testing.T) {
			kv, a, _ := twins(t)
			if change != nil {
				alter(t, kv, "k3", change)
			}
			snap, err := a.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = snap.Close() }()
			for _, behind := range []string{"", "k4", "z"} { // what was skipped counts, too
				rows, err := 0, error(nil)
				for _, failed := range snap.Counted([]byte(behind)) {
					if err = failed; err == nil {
						rows++
					}
				}
				if store.IsCorrupt(err) != (change != nil) || change == nil && behind == "" && rows != 50 {
					t.Errorf("behind %q: %d rows, %v", behind, rows, err)
				}
			}
		})
	}
}

// TestBadRowThatWasDeletedElsewhereGoes: once its delete is collected there, no
// repair could ever bring what takes its place.
func TestBadRowThatWasDeletedElsewhereGoes(t *testing.T) {
	kv, a, b := twins(t)
	alter(t, kv, "k3", flip)
	scrub(t, a)
	write(t, b, noon, del("k3"))
	if _, err := b.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	if _, done := reconcile(t, a, b, 100, -1); !done {
		t.Fatal("the reconcile did not end")
	}
	check(t, a)
	if a.BadRows() != 0 || value(t, a, "k3") != "-" || a.Digest().Sum != b.Digest().Sum {
		t.Errorf("%d bad rows, k3 is %s", a.BadRows(), value(t, a, "k3"))
	}
}

// TestRemovedRowsAreKept is C7: what a reconcile takes away is kept for a while,
// over a restart, and does not push out what lost a conflict.
func TestRemovedRowsAreKept(t *testing.T) {
	kv := store.NewMap()
	s := open(t, kv, "n2", 2)
	b := join(t, s, "b")
	_, _, a := fresh(t)
	write(t, a, noon, put("kept", "1"), put("deleted", "2"))
	pull(t, b, a, true, 100)
	write(t, a, noon, del("deleted"))
	if _, err := a.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	reconcile(t, b, a, 10, -1)
	if value(t, b, "deleted") != "-" {
		t.Fatal("not removed")
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	kv.Crash(0)
	b, _ = open(t, kv, "n2", 3).Bucket("b")
	n := 0
	for l, err := range b.Lost() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; !l.Removed || string(l.Entry.Value) != "2" || !l.At.Equal(noon) {
			t.Errorf("%+v", l)
		}
	}
	if n != 1 {
		t.Errorf("%d rows kept", n)
	}
}

// TestStaleIndexTakesNoRow: a tombstone that rotted leaves an index row that
// nobody can find from it. The row that takes its place is not what it names.
func TestStaleIndexTakesNoRow(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"torn": func(v []byte) []byte { return v[:3] },
		"lost": lose,
	} {
		t.Run(name, func(t *testing.T) {
			kv, _, b := fresh(t)
			write(t, b, noon, put("k", "old"))
			write(t, b, noon, del("k"))
			alter(t, kv, "k", change)
			scrub(t, b)
			write(t, b, noon, put("k", "new"))
			for range 2 {
				if _, err := b.Collect(noon.Add(time.Hour), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
					t.Fatal(err)
				}
				if value(t, b, "k") != "new" {
					t.Fatal("a live row was collected")
				}
			}
			scrub(t, b)
			check(t, b)
		})
	}
}

// TestOlderWriteLeavesANewerBadRow: the clock covers the newer one, and streams
// break off at it until a repair brings it back.
func TestOlderWriteLeavesANewerBadRow(t *testing.T) {
	kv, _, b := fresh(t)
	write(t, b, noon, put("k", "newer"))
	alter(t, kv, "k", flip)
	scrub(t, b)
	older := stale()
	older.Entries[0].Key = []byte("k")
	apply(t, b, noon, older)
	if b.BadRows() != 1 {
		t.Errorf("%d bad rows, the newer one is forgotten", b.BadRows())
	}
	if _, _, err := b.Get([]byte("k")); !store.IsCorrupt(err) {
		t.Errorf("k is read as if it were right: %v", err)
	}
}

// TestDeleteOverABadRowIsWritten: what it says of itself, a tombstone too, may be
// wrong, and a repair could bring a live row back.
func TestDeleteOverABadRowIsWritten(t *testing.T) {
	kv, _, b := fresh(t)
	write(t, b, noon, put("k", "v"))
	write(t, b, noon, del("k"))
	alter(t, kv, "k", flip)
	scrub(t, b)
	if w := write(t, b, noon, del("k")); len(w.Entries) != 1 || w.Entries[0].Stamp.IsZero() {
		t.Errorf("the delete was left out: %+v", w.Entries)
	}
}

// TestSweepIssuesNoRot: a row that rots after its verdict is not written anew.
func TestSweepIssuesNoRot(t *testing.T) {
	kv, _, a := fresh(t)
	write(t, a, noon, put("k", "unseen"))
	snap, donor := oplog.HLCAt(noon.Add(time.Hour)), oplog.Clock{}
	st := store.Stretch{Clock: donor, GCTS: snap, HLC: snap, Token: store.Token{Claim: donor, Cursor: []byte("k"), Rec: &store.Reconcile{GCTS: snap}}}
	st.Entries = []oplog.Entry{{Key: []byte("k"), Tombstone: true, Stamp: oplog.Stamp{HLC: 1, Origin: oplog.Origin{Node: "d", Epoch: 1}, Seq: 1}}}
	if _, err := a.Compare(noon, st); err != nil {
		t.Fatal(err)
	}
	alter(t, kv, "k", flip)
	st.After, st.Entries = []byte("k"), nil
	r, err := a.EndReconcile(noon, st, nil)
	if err != nil || len(r.Reissued.Entries) != 0 {
		t.Errorf("%+v, %v", r.Reissued, err)
	}
}

// TestRowThatRottedTwiceStays: the same key has rotted at a and b. That the other sends
// nothing, for it leaves out its bad row, is no delete; c, which was away, holds the row
// still and gives it back to both.
func TestRowThatRottedTwiceStays(t *testing.T) {
	kvA, a, _ := twins(t)
	kvB := store.NewMap()
	b := join(t, open(t, kvB, "n3", 3), "b")
	pull(t, b, a, true, 100)
	c := join(t, open(t, store.NewMap(), "c", 9), "b")
	pull(t, c, a, true, 100)
	if value(t, c, "k3") != "v3" {
		t.Fatal("c lacks k3")
	}
	// meanwhile a and b collect a delete that c has not seen.
	write(t, a, noon, put("gone", "1"), del("gone"))
	pull(t, b, a, true, 100)
	for _, x := range []*store.Bucket{a, b} {
		if _, err := x.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
			t.Fatal(err)
		}
	}
	alter(t, kvA, "k3", flip)
	alter(t, kvB, "k3", flip)
	scrub(t, a)
	scrub(t, b)
	if a.BadRows() != 1 || b.BadRows() != 1 {
		t.Fatalf("%d and %d bad rows", a.BadRows(), b.BadRows())
	}
	repair(t, a, b)
	repair(t, b, a)
	if a.BadRows() != 1 || b.BadRows() != 1 {
		t.Fatalf("%d and %d bad rows: one took the other's for a collected delete", a.BadRows(), b.BadRows())
	}
	for _, x := range []*store.Bucket{a, b} {
		repair(t, x, c)
		if x.BadRows() != 0 || value(t, x, "k3") != "v3" {
			t.Errorf("%d bad rows, k3 %q", x.BadRows(), value(t, x, "k3"))
		}
	}
}

// TestLostRowIsFetchedWhateverThePolicy: it may be older than a delete that was
// collected here, but more probably this disk has lost it.
func TestLostRowIsFetchedWhateverThePolicy(t *testing.T) {
	for _, policy := range []store.Policy{store.Keep, store.Park, store.Delete} {
		_, _, b := fresh(t)
		write(t, b, noon, put("k3", "precious"))
		kv := store.NewMap()
		a := openPolicy(t, kv, "a", policy)
		pull(t, a, b, true, 100)
		write(t, b, noon.Add(time.Second), put("other", "1"), del("other"))
		pull(t, a, b, true, 100)
		for _, x := range []*store.Bucket{a, b} {
			collect(t, x, noon.Add(time.Minute), force())
		}
		alter(t, kv, "k3", lose)
		scrub(t, a)
		got := repair(t, a, b)
		pull(t, b, a, true, 100)
		if value(t, a, "k3") != "precious" || value(t, b, "k3") != "precious" {
			t.Errorf("policy %s: k3 is %q at the node whose disk was sound, %q at the other; issued %+v",
				policy, value(t, b, "k3"), value(t, a, "k3"), got.Reissued.Entries)
		}
	}
}

// TestBadExtraIsNotDroppedForOneThatNeverSawIt: the donor of a repair covers the clock,
// but not the extras; what rotted is one of those.
func TestBadExtraIsNotDroppedForOneThatNeverSawIt(t *testing.T) {
	for name, op := range map[string]store.Op{
		"plain":   put("x", "v"),
		"expires": {Key: []byte("x"), Value: []byte("v"), Expiry: noon.AddDate(1, 0, 0).UnixMilli()},
	} {
		kv, a, b := twins(t)
		dead := join(t, open(t, store.NewMap(), "dead", 7), "b")
		write(t, dead, noon, put("w", "v"), op)
		snap, err := dead.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		entries := all(t, snap.Rows(nil, []byte("w"))) // x alone, seq 2
		_ = snap.Close()
		c := join(t, open(t, store.NewMap(), "c", 8), "b")
		pull(t, c, b, true, 100)
		for _, n := range []*store.Bucket{a, c} {
			if _, err := n.ApplyPage(noon, entries, nil); err != nil {
				t.Fatal(err)
			}
		}
		alter(t, kv, "x", flip)
		scrub(t, a)
		repair(t, a, b)
		if a.BadRows() == 0 {
			t.Errorf("%s: the bad row of a write that b never saw is gone; a and c tell the same digest: %v; a has %d keys, c %d",
				name, a.Digest().Same(c.Digest()), a.Keys(), c.Keys())
		}
	}
}

// TestLostExpiringRowIsMissed: sums leave such rows out, but not the count.
func TestLostExpiringRowIsMissed(t *testing.T) {
	kv, _, b := fresh(t)
	a := join(t, open(t, store.NewMap(), "a", 2), "b")
	write(t, b, noon, store.Op{Key: []byte("session"), Value: []byte("v"), Expiry: noon.AddDate(1, 0, 0).UnixMilli()}, put("plain", "v"))
	pull(t, a, b, true, 10)
	write(t, b, noon, put("gone", "1"), del("gone"))
	collect(t, b, noon.Add(time.Minute), force())
	alter(t, kv, "session", lose)
	snap, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	for _, err := range snap.Counted(nil) {
		if err != nil {
			if !errors.Is(err, store.ErrUnsound) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("a reconcile with a donor that has lost a row ends well")
}
