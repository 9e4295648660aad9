package store_test

import (
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

const always = oplog.HLC(1 << 63)

// collect walks both indexes to their ends, a few rows at a time.
func collect(tb testing.TB, b *store.Bucket, now time.Time, o store.CollectOptions) store.Collected {
	tb.Helper()
	var sum store.Collected
	for o.Limit = 2; ; {
		c, err := b.Collect(now, o)
		if err != nil {
			tb.Fatal(err)
		}
		sum.Tombstones += c.Tombstones
		sum.Expired += c.Expired
		if o.After = c.Next; c.Next == nil {
			check(tb, b)
			return sum
		}
	}
}

func force() store.CollectOptions { return store.CollectOptions{Force: true, Upto: always} }

// rows lists the keys with a row, tombstones included.
func rows(tb testing.TB, b *store.Bucket) []string {
	tb.Helper()
	return keys(all(tb, b.Scan(store.ScanOptions{})))
}

func TestCollectDropsWhatAllHave(t *testing.T) {
	for name, kv := range kvs(t) {
		t.Run(name, func(t *testing.T) {
			b := join(t, open(t, kv, "n1", 1), "b")
			write(t, b, noon, put("a", "1"), put("b", "2"), put("c", "3"))
			w := write(t, b, noon.Add(time.Second), del("a"), del("b"), del("c"))
			write(t, b, noon, store.Op{Key: []byte("t"), Value: []byte("x"), Expiry: noon.UnixMilli()})
			own := w.Origin
			later := noon.Add(time.Minute)
			for _, tt := range []struct {
				name string
				now  time.Time
				o    store.CollectOptions
				want []string
			}{
				{"nothing is allowed", later, store.CollectOptions{}, []string{"a", "b", "c", "t"}},
				{"none is stable", later, store.CollectOptions{Upto: always}, []string{"a", "b", "c", "t"}},
				{"not all floors have passed", later, store.CollectOptions{Upto: w.Entries[0].Stamp.HLC - 1, Stable: oplog.Clock{own: 9}}, []string{"a", "b", "c", "t"}},
				{"from the future", noon, force(), []string{"a", "b", "c", "t"}},
				{"one is stable", later, store.CollectOptions{Upto: always, Stable: oplog.Clock{own: 4}}, []string{"b", "c", "t"}},
				{"not yet expired everywhere", later, store.CollectOptions{Upto: always, Stable: oplog.Clock{own: 9}}, []string{"t"}},
				{"expired, and not yet everywhere", noon.Add(time.Hour), store.CollectOptions{Upto: always, Stable: oplog.Clock{own: 6}}, []string{"t"}},
				{"expired everywhere", noon.Add(time.Hour), store.CollectOptions{Upto: always, Stable: oplog.Clock{own: 9}}, nil},
			} {
				collect(t, b, tt.now, tt.o)
				if got := rows(t, b); !slices.Equal(got, tt.want) {
					t.Errorf("%s: left are %q, want %q", tt.name, got, tt.want)
				}
			}
			snap, err := b.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = snap.Close() }()
			if snap.GCV[own] != 7 || snap.GCTS < w.Entries[2].Stamp.HLC || snap.Count != 0 {
				t.Errorf("gate %v, guard %v, %d rows", snap.GCV, snap.GCTS, snap.Count)
			}
		})
	}
}

// TestScenario20GCNeedsOwnCover: a session that stalled has brought a tombstone
// and not what is older. It is kept until the clock covers it, and then what the
// session brings late is ignored.
func TestScenario20GCNeedsOwnCover(t *testing.T) {
	_, _, b := fresh(t)
	x := foreign("x")
	older, tombstone := x.entry("k", "old", oplog.HLCAt(noon)), x.entry("k", "", oplog.HLCAt(noon)+1)
	tombstone.Tombstone, tombstone.Value = true, nil
	if _, err := b.ApplyPage(noon, []oplog.Entry{tombstone}, nil); err != nil {
		t.Fatal(err)
	}
	later := noon.Add(time.Hour)
	write(t, b, later, put("mine", "1")) // the own clock is past the tombstone
	if c := collect(t, b, later, force()); c.Tombstones != 0 {
		t.Fatal("an extra was collected")
	}
	if err := b.EndPull(later, oplog.Clock{x.o: 2}, nil); err != nil {
		t.Fatal(err)
	}
	if c := collect(t, b, later, force()); c.Tombstones != 1 {
		t.Fatal("a covered tombstone was not collected")
	}
	a, err := b.ApplyPage(later, []oplog.Entry{older}, nil) // scenario 22: gc_late_chunk
	if err != nil || a.Merged != 0 || len(a.Ambiguous) != 0 || value(t, b, "k") != "-" {
		t.Errorf("a late chunk is taken: %+v, %v", a, err)
	}
}

// TestWriteAfterCollectionIsLater is scenario 34.
func TestWriteAfterCollectionIsLater(t *testing.T) {
	_, _, b := fresh(t)
	late := noon.Add(time.Hour)
	write(t, b, late, put("k", "1"))
	gone := write(t, b, late, del("k"))
	collect(t, b, late.Add(time.Minute), force())
	if w := write(t, b, noon, put("k", "2")); w.Entries[0].Stamp.HLC <= gone.Entries[0].Stamp.HLC {
		t.Errorf("%s after %s", w.Entries[0].Stamp, gone.Entries[0].Stamp)
	}
}
