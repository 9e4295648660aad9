package replicator_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"replicator"
	"replicator/oplog"
)

// keys are how many one batch sets.
const keys = 40

// round makes a batch that sets all keys to one value; one that large is
// announced and pulled.
func round(n, size int) []replicator.Op {
	ops := make([]replicator.Op, keys)
	for i := range ops {
		ops[i] = replicator.Op{Key: fmt.Appendf(nil, "k%d", i), Value: []byte(fmt.Sprint(n, " ", strings.Repeat("x", size)))}
	}
	return ops
}

// seen returns the value that all keys of the bucket have in one snapshot, and
// fails if they have several.
func seen(t *testing.T, b *replicator.Bucket) string {
	t.Helper()
	values, rows := map[string]bool{}, 0
	var value string
	for e, err := range b.Scan(t.Context(), replicator.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		value, _, _ = strings.Cut(string(e.Value), " ")
		values[value] = true
		rows++
	}
	if len(values) > 1 || rows > 0 && rows < keys {
		t.Fatalf("%d of %d keys, values %v", rows, keys, values)
	}
	return value
}

// TestBatchesAreSeenWhole: a reader on another node sees each batch whole, those
// that fit a message and those that are pulled, while the link is cut again and
// again.
func TestBatchesAreSeenWhole(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a", Codec: oplog.JSON})
	b := open(t, s.ClientURL(), replicator.Config{Node: "b"})
	ba, bb := bucket(t, a), bucket(t, b)
	for n := range 60 {
		size := 10
		if n%3 == 0 {
			size = 40 << 10 // 1.6 MiB together
		}
		entries, err := ba.Batch(t.Context(), round(n, size)...)
		if err != nil || len(entries) != keys || entries[0].BatchAhead != keys-1 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		if seen(t, ba) != fmt.Sprint(n) {
			t.Fatal("the writer does not see its batch")
		}
		want := fmt.Sprint(n)
		eventually(t, "b has batch "+want, func() bool { return n%4 > 0 && seen(t, bb) != "" || seen(t, bb) == want })
	}
	eventually(t, "b has the last batch", func() bool { return seen(t, bb) == "59" })
}

func TestBatchIsRefusedWhole(t *testing.T) {
	s := startServer(t)
	b := bucket(t, open(t, s.ClientURL(), replicator.Config{Node: "a"}))
	put(t, b, "a", "old")
	op := func(key, value string) replicator.Op { return replicator.Op{Key: []byte(key), Value: []byte(value)} }
	for name, ops := range map[string][]replicator.Op{
		"empty key":    {op("a", "1"), op("", "1")},
		"large value":  {op("a", "1"), op("b", strings.Repeat("x", 16<<20+1))},
		"large batch":  {op("a", strings.Repeat("\xff", 9<<20)), op("b", strings.Repeat("\xff", 9<<20))},
		"too many ops": make([]replicator.Op, replicator.MaxBatchOps+1),
	} {
		_, err := b.Batch(t.Context(), ops...)
		if _, limit := errors.AsType[*replicator.LimitError](err); !limit {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !has(b, "a", "old")() || b.Keys() != 1 {
		t.Error("a batch that was refused left something")
	}
	entries, err := b.Batch(t.Context(), op("b", "1"), replicator.Op{Key: []byte("none"), Delete: true}, replicator.Op{Key: []byte("a"), Delete: true})
	if err != nil || len(entries) != 3 || !entries[1].Stamp.IsZero() || !entries[2].Tombstone {
		t.Errorf("%+v, %v", entries, err)
	}
	if none, err := b.Batch(t.Context()); err != nil || none != nil {
		t.Errorf("a batch of nothing: %v, %v", none, err)
	}
}
