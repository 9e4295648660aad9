package store_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
)

var noon = time.UnixMilli(1_800_000_000_000)

// seeds returns n seeds, the same in every run, or the one of STORE_SEED.
func seeds(t testing.TB, n int) []uint64 {
	t.Helper()
	if s := os.Getenv("STORE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	return list
}

// eachSeed runs the test with one generator a seed; a failure names the seed.
func eachSeed(t *testing.T, n int, run func(t *testing.T, rnd *rand.Rand)) {
	t.Helper()
	for _, seed := range seeds(t, n) {
		ok := t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			run(t, rand.New(rand.NewPCG(seed, 7)))
		})
		if !ok {
			t.Fatalf("again with STORE_SEED=%d", seed)
		}
	}
}

func nonce(n uint64) (v oplog.Nonce) {
	for i := range 8 {
		v[i] = byte(n >> (8 * i))
	}
	v[15] = 1
	return v
}

// epochs draws 1000*start+1, +2, ...
func epochs(start uint64) func() uint64 {
	n := start * 1000
	return func() uint64 { n++; return n }
}

func open(t testing.TB, kv store.KV, node string, start uint64) *store.Store {
	t.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(node))
	s, err := store.Open(kv, noon, store.Options{
		Node: node, Nonce: nonce(h.Sum64() + start), Epoch: epochs(start),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func join(t testing.TB, s *store.Store, name string) *store.Bucket {
	t.Helper()
	b, err := s.Join(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fresh opens a store over an empty Map with one bucket.
func fresh(t testing.TB, node string) (*store.Map, *store.Store, *store.Bucket) {
	t.Helper()
	m := store.NewMap()
	s := open(t, m, node, 1)
	return m, s, join(t, s, "b")
}

func put(key, value string) store.Op { return store.Op{Key: []byte(key), Value: []byte(value)} }
func del(key string) store.Op        { return store.Op{Key: []byte(key), Delete: true} }

func write(t testing.TB, b *store.Bucket, now time.Time, ops ...store.Op) store.Written {
	t.Helper()
	w, err := b.Write(now, ops)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func live(w store.Written) *oplog.Live {
	return &oplog.Live{
		Bucket: "b", Origin: w.Origin, First: w.First, Last: w.Last, Nonce: nonce(1), Entries: w.Entries,
	}
}

func apply(t testing.TB, b *store.Bucket, now time.Time, msgs ...*oplog.Live) store.Applied {
	t.Helper()
	a, err := b.ApplyLive(now, msgs)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(t testing.TB, b *store.Bucket, key string) oplog.Entry {
	t.Helper()
	e, _, err := b.Get([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func value(t testing.TB, b *store.Bucket, key string) string {
	t.Helper()
	e := get(t, b, key)
	if e.Key == nil || e.Tombstone {
		return "-"
	}
	return string(e.Value)
}

func check(t testing.TB, b *store.Bucket) {
	t.Helper()
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
}

// all collects a sequence.
func all(t testing.TB, seq func(func(oplog.Entry, error) bool)) []oplog.Entry {
	t.Helper()
	var list []oplog.Entry
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// pull brings all of from's rows into b: S1 to S6.
func pull(t testing.TB, b, from *store.Bucket, byKey bool, page int) {
	t.Helper()
	above := b.Clock()
	snap, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	entries := all(t, snap.Log(above))
	if byKey {
		entries = all(t, snap.Rows(above, nil))
	}
	for len(entries) > 0 {
		n := min(page, len(entries))
		if _, err := b.ApplyPage(noon, entries[:n], nil); err != nil {
			t.Fatal(err)
		}
		entries = entries[n:]
	}
	if err := b.EndPull(noon, snap.Clock); err != nil {
		t.Fatal(err)
	}
}

func keys(entries []oplog.Entry) (list []string) {
	for _, e := range entries {
		list = append(list, string(e.Key))
	}
	return list
}
