package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

const jpeg = "image/jpeg"

func typed(key string) store.Op {
	return store.Op{Key: []byte(key), Value: []byte("v"), Type: jpeg}
}

// TestTypeArrivesByEveryRoad: what the writer said of the value is part of the row.
func TestTypeArrivesByEveryRoad(t *testing.T) {
	for name, road := range map[string]func(t *testing.T) (a, b *store.Bucket){
		"live": func(t *testing.T) (a, b *store.Bucket) {
			t.Helper()
			_, a, b = twins(t)
			apply(t, a, noon, live(write(t, b, noon, typed("k"))))
			return a, b
		},
		"pull of the log": func(t *testing.T) (a, b *store.Bucket) {
			t.Helper()
			_, a, b = twins(t)
			write(t, b, noon, typed("k"))
			pull(t, a, b, false, 1)
			return a, b
		},
		"pull by key": func(t *testing.T) (a, b *store.Bucket) {
			t.Helper()
			_, a, b = twins(t)
			write(t, b, noon, typed("k"))
			pull(t, a, b, true, 1)
			return a, b
		},
		"reconcile": func(t *testing.T) (a, b *store.Bucket) {
			t.Helper()
			a, b = evicted(t, 1)
			write(t, b, noon, typed("k"))
			if _, done := reconcile(t, a, b, 1, -1); !done {
				t.Fatal("it was cut")
			}
			return a, b
		},
		"repair": func(t *testing.T) (a, b *store.Bucket) {
			t.Helper()
			kv, a, b := twins(t)
			write(t, a, noon, typed("k"))
			pull(t, b, a, true, 100)
			alter(t, kv, "k", func(row []byte) []byte {
				row[strings.Index(string(row), jpeg)] ^= 1
				return row
			})
			var corrupt *store.CorruptError
			if _, _, err := a.Get([]byte("k")); !errors.As(err, &corrupt) {
				t.Errorf("a row whose type has rotted reads as %v", err)
			}
			scrub(t, a)
			repair(t, a, b)
			return a, b
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := road(t)
			for where, n := range map[string]*store.Bucket{"a": a, "b": b} {
				if e := get(t, n, "k"); e.Type != jpeg || string(e.Value) != "v" {
					t.Errorf("at %s: %q of type %q", where, e.Value, e.Type)
				}
			}
			alike(t, a, b)
		})
	}
}

// TestTypeOfWhatIsWrittenAgain: a write that may be older than a forgotten delete
// keeps its type, issued anew or parked.
func TestTypeOfWhatIsWrittenAgain(t *testing.T) {
	for _, policy := range []store.Policy{store.Keep, store.Park} {
		m := store.NewMap()
		b := policyBucket(t, m, policy, 1)
		apply(t, b, noon, live(elsewhere(t)))
		collect(t, b, noon.Add(time.Second), force())
		old := stale()
		old.Entries[0].Type = jpeg
		apply(t, b, noon, old)
		b = policyBucket(t, m, policy, 2)
		if policy == store.Park {
			if list := lost(t, b); len(list) != 1 || list[0].Entry.Type != jpeg || get(t, b, "gone").Type != "" {
				t.Errorf("parked is %+v", list)
			}
			continue
		}
		if e := get(t, b, "gone"); e.Type != jpeg || e.Stamp == old.Entries[0].Stamp {
			t.Errorf("kept is %+v", e)
		}
	}
}

// TestTypeAloneMakesAConflict: somebody loses what he said of the value.
func TestTypeAloneMakesAConflict(t *testing.T) {
	m := store.NewMap()
	a, b := join(t, open(t, m, "a", 1), "b"), join(t, open(t, store.NewMap(), "b", 2), "b")
	write(t, a, noon, typed("k"), typed("same"))
	winner := write(t, b, noon.Add(time.Second), put("k", "v"), typed("same"))
	if got := apply(t, a, noon, live(winner)); len(got.Conflicts) != 1 || string(got.Conflicts[0].Loser.Key) != "k" {
		t.Errorf("%+v", got.Conflicts)
	}
	a = join(t, open(t, m, "a", 3), "b")
	if list := lost(t, a); len(list) != 1 || list[0].Entry.Type != jpeg || string(list[0].Entry.Value) != "v" {
		t.Errorf("a keeps %+v", list)
	}
}

func TestBadTypeIsRefused(t *testing.T) {
	_, _, b := fresh(t)
	for _, bad := range []string{strings.Repeat("x", oplog.MaxType+1), "a\nb", "a\r\nb: c", "\u00e9", " a", "a\x00"} {
		var refused *oplog.TypeError
		if _, err := b.Write(noon, []store.Op{put("k", "v"), {Key: []byte("l"), Type: bad}}); !errors.As(err, &refused) || refused.Type != bad {
			t.Errorf("%.20q: %v", bad, err)
		}
		m := stale()
		m.Entries[0].Type = bad
		if a := apply(t, b, noon, m); len(a.Refused) != 1 || a.Merged != 0 {
			t.Errorf("%.20q of another: %+v", bad, a)
		}
		if _, err := b.ApplyPage(noon, m.Entries, nil); err == nil {
			t.Errorf("%.20q in a page is taken", bad)
		}
	}
	if b.Keys() != 0 {
		t.Errorf("%d keys", b.Keys())
	}
	// A delete has none, whatever is asked.
	write(t, b, noon, typed("k"))
	w := write(t, b, noon, store.Op{Key: []byte("k"), Delete: true, Type: jpeg})
	if w.Entries[0].Type != "" {
		t.Errorf("%+v", w.Entries)
	}
}
