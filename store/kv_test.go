package store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/store"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openPebble(tb testing.TB, fs vfs.FS, dir string) store.KV {
	tb.Helper()
	kv, err := store.OpenPebble(dir, store.PebbleOptions{FS: fs, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Logger: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = kv.Close() })
	return kv
}

func kvs(tb testing.TB) map[string]store.KV {
	tb.Helper()
	return map[string]store.KV{"map": store.NewMap(), "pebble": openPebble(tb, vfs.NewMem(), "db")}
}

// TestKVsBehaveLikeAMap drives both KVs and a sorted map with the same calls.
func TestKVsBehaveLikeAMap(t *testing.T) {
	for name := range kvs(t) {
		t.Run(name, func(t *testing.T) {
			eachSeed(t, 5, func(t *testing.T, rnd *rand.Rand) {
				t.Helper()
				kv := kvs(t)[name]
				want := map[string]string{}
				key := func() []byte { return fmt.Appendf(nil, "%02d", rnd.IntN(60)) }
				for range 60 {
					snap, frozen := kv.Snapshot(), maps.Clone(want)
					batch := kv.NewBatch()
					for range rnd.IntN(8) {
						k, v := key(), fmt.Appendf(nil, "v%d", rnd.IntN(1000))
						if rnd.IntN(8) == 0 {
							upper := key()
							batch.DeleteRange(k, upper)
							maps.DeleteFunc(want, func(key, _ string) bool { return key >= string(k) && key < string(upper) })
							upper[0] = 'X'
						} else if rnd.IntN(3) == 0 {
							batch.Delete(k)
							delete(want, string(k))
						} else {
							batch.Set(k, v)
							want[string(k)] = string(v)
						}
						k[0], v[0] = 'X', 'X' // batches copy
					}
					if err := kv.Commit(batch); err != nil {
						t.Fatal(err)
					}
					walkLike(t, rnd, snap, frozen, nil, nil)
					_ = snap.Close()
					snap = kv.Snapshot()
					walkLike(t, rnd, snap, want, key(), key())
					walkLike(t, rnd, kv, want, nil, nil)
					findLike(t, kv, want, key(), key(), key())
					if err := snap.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if err := kv.Sync(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// walkLike compares random moves over [lower, upper) with a cursor over want.
// findLike has Find look for keys, and for some that never are.
func findLike(t *testing.T, kv store.KV, want map[string]string, keys ...[]byte) {
	t.Helper()
	keys = append(keys, []byte("0"), []byte("3x"), []byte("99"))
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	var got, there []string
	for _, key := range keys {
		if value, ok := want[string(key)]; ok {
			there = append(there, string(key)+"="+value)
		}
	}
	err := kv.Find(keys, func(key, value []byte) { got = append(got, string(key)+"="+string(value)) })
	if err != nil || !slices.Equal(got, there) {
		t.Fatalf("found %q, %v, want %q", got, err, there)
	}
}

func walkLike(t *testing.T, rnd *rand.Rand, r store.Reader, want map[string]string, lower, upper []byte) {
	t.Helper()
	if bytes.Compare(lower, upper) > 0 {
		lower, upper = upper, lower
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if (lower == nil || k >= string(lower)) && (upper == nil || k < string(upper)) {
			list = append(list, k)
		}
	}
	it, err := r.Iter(lower, upper)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := -1, false
	for range 30 {
		var got bool
		seek := fmt.Appendf(nil, "%02d", rnd.IntN(60))
		i, _ := slices.BinarySearch(list, string(seek))
		move := rnd.IntN(6)
		if !ok && move < 2 {
			move += 2 // behind the end, moves differ: seek first
		}
		switch move {
		case 0:
			got, at = it.Next(), at+1
		case 1:
			got, at = it.Prev(), at-1
		case 2:
			got, at = it.First(), 0
		case 3:
			got, at = it.Last(), len(list)-1
		case 4:
			got, at = it.SeekGE(seek), i
		case 5:
			got, at = it.SeekLT(seek), i-1
		}
		ok = at >= 0 && at < len(list)
		if got != ok {
			t.Fatalf("move %d: %v, want %v", move, got, ok)
		}
		if !ok {
			continue
		}
		if string(it.Key()) != list[at] || string(it.Value()) != want[list[at]] {
			t.Fatalf("move %d: %q=%q, want %q", move, it.Key(), it.Value(), list[at])
		}
		v, found, err := r.Get(it.Key())
		if err != nil || !found || string(v) != want[list[at]] {
			t.Fatal(string(v), found, err)
		}
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMapCrashKeepsAPrefix(t *testing.T) {
	for keep := range 6 {
		m := store.NewMap()
		for i := range 7 {
			b := m.NewBatch()
			b.Set([]byte{byte(i)}, nil)
			if err := m.Commit(b); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if err := m.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		copied := m.Clone()
		if m.UnsyncedCommits() != 5 || copied.UnsyncedCommits() != 5 {
			t.Fatal(m.UnsyncedCommits())
		}
		m.Crash(keep)
		for i := range 7 {
			_, ok, err := m.Get([]byte{byte(i)})
			if err != nil || ok != (i < 2+keep) {
				t.Fatal(keep, i, ok, err)
			}
			if _, ok, _ := copied.Get([]byte{byte(i)}); !ok {
				t.Fatal("crash reached the clone")
			}
		}
	}
}
