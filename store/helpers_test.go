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
func seeds(tb testing.TB, n int) []uint64 {
	tb.Helper()
	if s := os.Getenv("STORE_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			tb.Fatal(err)
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

func open(tb testing.TB, kv store.KV, node string, start uint64) *store.Store {
	tb.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(node))
	s, err := store.Open(kv, noon, store.Options{
		Node: node, Nonce: nonce(h.Sum64() + start), Epoch: epochs(start),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func join(tb testing.TB, s *store.Store, name string) *store.Bucket {
	tb.Helper()
	b, err := s.Join(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// fresh opens a store over an empty Map with one bucket.
func fresh(tb testing.TB) (*store.Map, *store.Store, *store.Bucket) {
	tb.Helper()
	m := store.NewMap()
	s := open(tb, m, "n1", 1)
	return m, s, join(tb, s, "b")
}

func put(key, value string) store.Op { return store.Op{Key: []byte(key), Value: []byte(value)} }
func del(key string) store.Op        { return store.Op{Key: []byte(key), Delete: true} }

func write(tb testing.TB, b *store.Bucket, now time.Time, ops ...store.Op) store.Written {
	tb.Helper()
	w, err := b.Write(now, ops)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func live(w store.Written) *oplog.Live {
	return &oplog.Live{
		Bucket: "b", Origin: w.Origin, First: w.First, Last: w.Last, Nonce: nonce(1), Entries: w.Entries,
	}
}

func apply(tb testing.TB, b *store.Bucket, now time.Time, msgs ...*oplog.Live) store.Applied {
	tb.Helper()
	a, err := b.ApplyLive(now, msgs)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func get(tb testing.TB, b *store.Bucket, key string) oplog.Entry {
	tb.Helper()
	e, _, err := b.Get([]byte(key))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func value(tb testing.TB, b *store.Bucket, key string) string {
	tb.Helper()
	e := get(tb, b, key)
	if e.Key == nil || e.Tombstone {
		return "-"
	}
	return string(e.Value)
}

func check(tb testing.TB, b *store.Bucket) {
	tb.Helper()
	if err := b.Check(); err != nil {
		tb.Fatal(err)
	}
}

// all collects a sequence.
func all(tb testing.TB, seq func(func(oplog.Entry, error) bool)) []oplog.Entry {
	tb.Helper()
	var list []oplog.Entry
	for e, err := range seq {
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// pull brings all of from's rows into b: S1 to S6.
func pull(tb testing.TB, b, from *store.Bucket, byKey bool, page int) {
	tb.Helper()
	above := b.Clock()
	snap, err := from.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = snap.Close() }()
	entries := all(tb, snap.Log(above))
	if byKey {
		entries = all(tb, snap.Rows(above, nil))
	}
	for len(entries) > 0 {
		n := min(page, len(entries))
		if _, err := b.ApplyPage(noon, entries[:n], nil); err != nil {
			tb.Fatal(err)
		}
		entries = entries[n:]
	}
	if err := b.EndPull(noon, snap.Clock, snap.Ahead); err != nil {
		tb.Fatal(err)
	}
}

func keys(entries []oplog.Entry) (list []string) {
	for _, e := range entries {
		list = append(list, string(e.Key))
	}
	return list
}
