package replicator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"replicator"
)

// TestScenario42SelectiveBuckets: a node joins two of five buckets. It stores
// nothing of the others, and what is deleted in those does not wait for it.
func TestScenario42SelectiveBuckets(t *testing.T) {
	s := startServer(t)
	cfg := func(name string, buckets ...string) replicator.Config {
		return replicator.Config{Node: name, Buckets: buckets, CollectEvery: 100 * time.Millisecond}
	}
	all := []string{"b1", "b2", "b3", "b4", "b5"}
	x, y := open(t, s.ClientURL(), cfg("x", all...)), open(t, s.ClientURL(), cfg("y", all...))
	some := open(t, s.ClientURL(), cfg("some", "b1", "b2"))
	for _, name := range all {
		b, err := x.Bucket(name)
		if err != nil {
			t.Fatal(err)
		}
		put(t, b, "gone", "v")
		put(t, b, "kept", name)
		del(t, b, "gone")
	}
	for _, n := range []*replicator.Node{y, some} {
		for _, name := range all[:2] {
			b, err := n.Bucket(name)
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, n.Name()+" has the key of "+name, has(b, "kept", name))
		}
	}
	eventually(t, "all deletes are collected", func() bool {
		left := uint64(0)
		for _, n := range []*replicator.Node{x, y} {
			for _, b := range n.Status(t.Context()).Buckets {
				left += b.Tombstones
			}
		}
		return left == 0
	})
	if got := fmt.Sprint(some.Buckets()); got != "[b1 b2]" {
		t.Errorf("holds %s", got)
	}
	for _, name := range all[2:] {
		if _, err := some.Bucket(name); !errors.Is(err, replicator.ErrNoBucket) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range some.Status(t.Context()).Buckets {
		if b.Keys != 1 {
			t.Errorf("%s has %d keys", b.Name, b.Keys)
		}
	}
}
