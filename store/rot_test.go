package store_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// seqAt is where a stored row has the seq of a dot, if its origin has a number and
// a seq of one byte: behind version, flags, hlc and origin.
const seqAt = 1 + 1 + 8 + 1

// rotten are a store with a row that only it holds, under a later dot than the
// donor covers of that origin, and the donor, which has collected a delete.
func rotten(t *testing.T) (kv *store.Map, a, donor, writer *store.Bucket) {
	t.Helper()
	_, _, writer = fresh(t)
	write(t, writer, noon, put("x", "1"))
	donor = join(t, open(t, store.NewMap(), "donor", 3), "b")
	pull(t, donor, writer, true, 100)
	write(t, writer, noon, put("y", "2"))
	kv = store.NewMap()
	a = join(t, open(t, kv, "a", 4), "b")
	pull(t, a, writer, true, 100)
	write(t, donor, noon, put("gone", "3"), del("gone"))
	if _, err := donor.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	return kv, a, donor, writer
}

// TestReconcileTakesNoWordOfABadRow: one that claims to be a write which the donor
// has seen is kept for a repair, unless the log says so too.
func TestReconcileTakesNoWordOfABadRow(t *testing.T) {
	kv, a, donor, writer := rotten(t)
	alter(t, kv, "y", func(v []byte) []byte {
		if v[seqAt] != 2 {
			t.Fatalf("the row has seq %d there", v[seqAt])
		}
		v[seqAt] = 1 // which was the write of x
		return v
	})
	scrub(t, a)
	if _, done := reconcileRotten(t, noon, a, donor, 100, -1); !done || a.BadRows() != 1 {
		t.Fatalf("ended %v, with %d bad rows", done, a.BadRows())
	}
	pull(t, writer, donor, true, 100)
	repair(t, a, writer)
	scrub(t, a) // a log row may be left
	if value(t, a, "y") != "2" || a.BadRows() != 0 {
		t.Errorf("y is %s, %d bad rows", value(t, a, "y"), a.BadRows())
	}
	check(t, a)
}

// TestBadRowGoesWithoutAWord: also one of which nothing can be read, or whose stamp
// claims to be later than all, if the donor has seen all that is here.
func TestBadRowGoesWithoutAWord(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"torn":  func(v []byte) []byte { return v[:5] },
		"later": func(v []byte) []byte { v[2] ^= 0x40; return v },
		"seq":   func(v []byte) []byte { v[seqAt] ^= 8; return v },
		"value": flip,
	} {
		for _, key := range []string{"k3", "k4"} {
			t.Run(name+" "+key, func(t *testing.T) {
				kv, a, b := twins(t)
				alter(t, kv, key, change)
				scrub(t, a)
				write(t, b, noon, del("k3"), put("k4", "newer"))
				if _, err := b.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
					t.Fatal(err)
				}
				if _, done := reconcileRotten(t, noon, a, b, 100, -1); !done {
					t.Fatal("the reconcile did not end")
				}
				if a.BadRows() != 0 || value(t, a, "k3") != "-" || value(t, a, "k4") != "newer" {
					t.Errorf("%d bad rows, k3 is %s, k4 %s", a.BadRows(), value(t, a, "k3"), value(t, a, "k4"))
				}
				scrub(t, a) // a log row may be left
				check(t, a)
				if x, y := a.Digest(), b.Digest(); x.Sum != y.Sum {
					t.Errorf("sums %x and %x", x.Sum, y.Sum)
				}
			})
		}
	}
}

// TestVerdictOnABadRowIsForThatRow: one that was repaired or overwritten before the
// verdicts are carried out stays.
func TestVerdictOnABadRowIsForThatRow(t *testing.T) {
	kv, a, b := twins(t)
	alter(t, kv, "k3", func(v []byte) []byte { return v[:5] })
	scrub(t, a)
	write(t, b, noon, del("k3"))
	if _, err := b.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	if _, done := reconcileRotten(t, noon, a, b, 1, 40); done {
		t.Fatal("it ended before it was cut")
	}
	write(t, a, noon, put("k3", "new"))
	if _, done := reconcileRotten(t, noon, a, b, 100, -1); !done || value(t, a, "k3") != "new" {
		t.Errorf("ended %v, k3 is %s", done, value(t, a, "k3"))
	}
	scrub(t, a)
	check(t, a)
}

// TestEveryBitOfARowCounts: whichever flips, the row is not given out as if nothing
// had been.
func TestEveryBitOfARowCounts(t *testing.T) {
	kv, _, b := fresh(t)
	write(t, b, noon, put("k", "old"))
	w, err := b.Write(noon, []store.Op{{Key: []byte("k"), Value: []byte("v"), Expiry: noon.Add(time.Hour).UnixMilli(), Batch: 2}, put("l", "w")})
	if err != nil || len(w.Entries) != 2 || w.Entries[0].Prev.IsZero() || w.Entries[0].BatchAhead != 1 {
		t.Fatalf("%+v, %v", w, err)
	}
	_, row := dataRow(t, kv, "k")
	for bit := range 8 * len(row) {
		turn := func(v []byte) []byte { v[bit/8] ^= 1 << (bit % 8); return v }
		alter(t, kv, "k", turn)
		if e, ok, err := b.Get([]byte("k")); err == nil {
			t.Errorf("bit %d flipped: %+v, %v", bit, e, ok)
		}
		alter(t, kv, "k", turn)
	}
	check(t, b)
}

// TestRottenStampIsRestored by a node that lacks writes of this one: those could not
// get there for as long as the row breaks every stream.
func TestRottenStampIsRestored(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"torn": func(v []byte) []byte { return v[:5] },
		"hlc":  func(v []byte) []byte { v[4] ^= 2; return v },
		"seq":  func(v []byte) []byte { v[seqAt] ^= 8; return v },
	} {
		t.Run(name, func(t *testing.T) {
			kv, a, b := twins(t)
			write(t, a, noon, put("new", "1")) // b lacks it
			alter(t, kv, "k3", change)
			scrub(t, a)
			repair(t, a, b)
			scrub(t, a)
			if a.BadRows() != 0 || value(t, a, "k3") != "v3" {
				t.Errorf("%d bad rows, k3 is %s", a.BadRows(), value(t, a, "k3"))
			}
			check(t, a)
			pull(t, b, a, true, 100)
			alike(t, a, b)
		})
	}
}

// TestBadRowOfACollectedDeleteGoes: the tombstone came, but the row claims to be
// later; once that is collected nobody has anything under the key.
func TestBadRowOfACollectedDeleteGoes(t *testing.T) {
	kv, a, b := twins(t)
	alter(t, kv, "k3", func(v []byte) []byte { v[2] ^= 0x40; return v }) // of the far future
	write(t, b, noon, del("k3"))
	pull(t, a, b, true, 100)
	for _, x := range []*store.Bucket{a, b} {
		if _, err := x.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
			t.Fatal(err)
		}
	}
	scrub(t, a)
	if a.BadRows() != 1 {
		t.Fatalf("%d bad rows", a.BadRows())
	}
	repair(t, a, b)
	scrub(t, a)
	if a.BadRows() != 0 || value(t, a, "k3") != "-" {
		t.Errorf("%d bad rows, k3 is %s", a.BadRows(), value(t, a, "k3"))
	}
	alike(t, a, b)
}

// TestAbsentBadRowStays where the donor has not seen all, or has not been asked for
// that row as it is.
func TestAbsentBadRowStays(t *testing.T) {
	for name, change := range map[string]func(m *store.Mending){
		"not covered":    func(m *store.Mending) { m.Covered = false },
		"page before it": func(m *store.Mending) { m.Upto, m.Last = []byte("k2"), false },
		"page behind it": func(m *store.Mending) { m.After = []byte("k3") },
		"gone, as asked": nil,
	} {
		kv, a, _ := twins(t)
		alter(t, kv, "k3", flip)
		scrub(t, a)
		m := store.Mending{Gated: a.Sums().Gated, Covered: true, Last: true}
		if change != nil {
			change(&m)
		}
		if _, err := a.Repair(noon, nil, m); err != nil {
			t.Fatal(err)
		}
		if stays := a.BadRows() == 1; stays != (change != nil) {
			t.Errorf("%s: %d bad rows", name, a.BadRows())
		}
	}
	kv, a, _ := twins(t)
	m := store.Mending{Gated: a.Sums().Gated, Covered: true, Last: true}
	alter(t, kv, "k3", flip) // since it was asked
	scrub(t, a)
	if _, err := a.Repair(noon, nil, m); err != nil || a.BadRows() != 1 {
		t.Errorf("a row that rotted after all was asked for went: %v", err)
	}
}

// TestWriteOverABadRowIsNoOldOne: nobody can tell whether the row was one that
// donors have collected, so the write is later than all they have. Else they would
// take it for one that may have been deleted.
func TestWriteOverABadRowIsNoOldOne(t *testing.T) {
	kv, a, donor, _ := rotten(t)
	late := noon.Add(2 * time.Hour) // the clock here is behind
	write(t, donor, late, put("gone", "3"), del("gone"))
	if _, err := donor.Collect(late.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	alter(t, kv, "y", flip)
	scrub(t, a)
	if _, done := reconcileRotten(t, noon, a, donor, 100, -1); !done || a.BadRows() != 1 {
		t.Fatalf("ended %v, with %d bad rows", done, a.BadRows())
	}
	snap, err := donor.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	w := write(t, a, noon, put("y", "new"))
	if got := w.Entries[0].Stamp.HLC; got <= snap.GCTS {
		t.Errorf("the write is of %v, and what was collected may be of %v", got, snap.GCTS)
	}
	check(t, a)
}

// TestWriteOverARottenFutureRowIsTold: what the row says of its timestamp is no bound
// for the write, so the copies elsewhere win. The writer is told, and the value kept.
func TestWriteOverARottenFutureRowIsTold(t *testing.T) {
	_, _, ahead := fresh(t)
	write(t, ahead, noon.AddDate(1, 0, 0), put("k", "future"))
	kv := store.NewMap()
	a := join(t, open(t, kv, "a", 4), "b")
	pull(t, a, ahead, true, 100)
	alter(t, kv, "k", flip)
	scrub(t, a)
	w := write(t, a, noon, put("k", "new"))
	if got := w.Entries[0].Stamp.HLC; got > oplog.HLCAt(noon.Add(time.Hour)) {
		t.Errorf("the write is of %v", got)
	}
	pull(t, ahead, a, true, 100)
	if got := repair(t, a, ahead); len(got.Conflicts) != 1 {
		t.Errorf("%d conflicts told", len(got.Conflicts))
	}
	kept := ""
	for l, err := range a.Lost() {
		if err != nil {
			t.Fatal(err)
		}
		kept += string(l.Entry.Value)
	}
	if kept != "new" || value(t, a, "k") != "future" {
		t.Errorf("kept %q, k is %s", kept, value(t, a, "k"))
	}
	alike(t, a, ahead)
}

// TestBeatenBadRowIsReplaced by what beat it elsewhere, or by nothing where that was
// collected, by a node that lacks writes of this one. It came here, but the row
// claims to be later, and the lacking writes cannot get out past it.
func TestBeatenBadRowIsReplaced(t *testing.T) {
	for name, collected := range map[string]bool{"kept": false, "collected": true} {
		t.Run(name, func(t *testing.T) {
			kv, a, b := twins(t)
			alter(t, kv, "k3", func(v []byte) []byte { v[2] ^= 0x40; return v }) // of the far future
			alter(t, kv, "k4", func(v []byte) []byte { v[2] ^= 0x40; return v })
			write(t, b, noon, del("k3"), put("k4", "later"))
			pull(t, a, b, true, 100)
			write(t, a, noon, put("new", "1")) // b lacks it
			if collected {
				for _, x := range []*store.Bucket{a, b} {
					if _, err := x.Collect(noon.Add(time.Second), store.CollectOptions{Force: true, Upto: 1 << 63}); err != nil {
						t.Fatal(err)
					}
				}
			}
			scrub(t, a)
			if a.BadRows() != 2 {
				t.Fatalf("%d bad rows", a.BadRows())
			}
			repair(t, a, b)
			scrub(t, a)
			if a.BadRows() != 0 || value(t, a, "k3") != "-" || value(t, a, "k4") != "later" {
				t.Errorf("%d bad rows, k3 is %s, k4 %s", a.BadRows(), value(t, a, "k3"), value(t, a, "k4"))
			}
			pull(t, b, a, true, 100)
			alike(t, a, b)
		})
	}
}

// TestWriteOverARottenTombstoneIsAmbiguous: the delete says no more that it is one.
// What comes and may be older than deletes that were collected here is issued again
// all the same.
func TestWriteOverARottenTombstoneIsAmbiguous(t *testing.T) {
	_, _, deleter := fresh(t)
	write(t, deleter, noon, put("k", "deleted"), del("k"))
	other := join(t, open(t, store.NewMap(), "other", 5), "b")
	write(t, other, noon.Add(2*time.Second), put("gone", "1"), del("gone"))
	late := join(t, open(t, store.NewMap(), "late", 6), "b")
	write(t, late, noon.Add(time.Second), put("k", "unseen"))
	kv := store.NewMap()
	a := join(t, open(t, kv, "a", 4), "b")
	pull(t, a, deleter, true, 100)
	pull(t, a, other, true, 100)
	if _, err := a.Collect(noon.Add(time.Minute), store.CollectOptions{Stable: other.Clock(), Upto: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	if a.Tombstones() != 1 {
		t.Fatalf("%d tombstones left", a.Tombstones())
	}
	alter(t, kv, "k", func(v []byte) []byte { v[1] ^= 1; return v })
	scrub(t, a)
	if a.BadRows() != 1 {
		t.Fatalf("%d bad rows", a.BadRows())
	}
	snap, err := late.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	got, err := a.ApplyPage(noon, all(t, snap.Rows(nil, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Ambiguous) != 1 || value(t, a, "k") != "unseen" {
		t.Errorf("%d of them are ambiguous, k is %s", len(got.Ambiguous), value(t, a, "k"))
	}
	check(t, a)
}
