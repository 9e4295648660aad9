//go:build !race

package store_test

import (
	"testing"

	"replicator/oplog"
	"replicator/store"
)

// TestAllocationsOfARecord holds what a record costs the garbage collector where it is
// merged and where it is written, in groups of 64 over a real Pebble.
func TestAllocationsOfARecord(t *testing.T) {
	const group, runs = 64, 50
	kv, err := store.OpenPebble(t.TempDir(), store.PebbleOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, kv, "n1", 1)
	defer s.Close() //nolint:errcheck // only measured
	bucket := join(t, s, "b")
	n := uint64(0)
	for _, c := range []struct {
		what string
		most float64 // a record
		run  func() error
	}{
		{"merge of a live message", 12, func() error {
			m := message(foreignEntries(n+1, group)...)
			n += group
			_, err := bucket.ApplyLive(noon, []*oplog.Live{m})
			return err
		}},
		{"local write", 12, func() error {
			ops := make([]store.Op, group)
			for i := range ops {
				n++
				ops[i] = store.Op{Key: spread(n), Value: benchValue}
			}
			_, err := bucket.Write(noon, ops)
			return err
		}},
	} {
		got := testing.AllocsPerRun(runs, func() {
			if err := c.run(); err != nil {
				t.Fatal(err)
			}
		}) / group
		t.Logf("%s: %.2f allocations a record", c.what, got)
		if got > c.most {
			t.Errorf("%s: %.2f allocations a record, bound %.2f", c.what, got, c.most)
		}
	}
}
