//go:build !race

package oplog_test

import (
	"testing"

	"replicator/oplog"
)

// TestAllocationsOfALiveMessage holds what a message of 64 entries costs the garbage
// collector: it is paid for each record at each master.
func TestAllocationsOfALiveMessage(t *testing.T) {
	m := benchLive()
	body := encode(t, oplog.Msgpack, m)
	for _, c := range []struct {
		what string
		most float64 // a message
		run  func() error
	}{
		{"encode", 285, func() error { _, err := oplog.Encode(oplog.Msgpack, m); return err }},
		{"decode", 415, func() error { _, err := oplog.Decode(body); return err }},
	} {
		got := testing.AllocsPerRun(100, func() {
			if err := c.run(); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %.1f allocations a message, %.2f an entry", c.what, got, got/benchEntries)
		if got > c.most {
			t.Errorf("%s: %.1f allocations a message of %d entries, bound %.1f", c.what, got, benchEntries, c.most)
		}
	}
}
