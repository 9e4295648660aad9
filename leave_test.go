package replicator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"replicator"
)

// TestReplicaLeavesABucket: once a master has all of it.
func TestReplicaLeavesABucket(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	put(t, bucket(t, a), "k", "v")
	follower := short("r", "")
	follower.Replica = true
	r := open(t, s.ClientURL(), follower)
	eventually(t, "r follows", has(bucket(t, r), "k", "v"))
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := r.LeaveBucket(ctx, "default", false); err != nil {
		t.Errorf("a replica leaves a bucket: %v", err)
	}
	if err := r.LeaveBucket(ctx, "default", true); err != nil && !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("a replica leaves a bucket with now: %v", err)
	}
}

// TestBucketIsLeftOnAFullDisk: it makes room.
func TestBucketIsLeftOnAFullDisk(t *testing.T) {
	s := startServer(t)
	full := short("a", "")
	full.LowWater = 1 << 60
	a := open(t, s.ClientURL(), full)
	eventually(t, "the disk is full", func() bool {
		_, err := bucket(t, a).Put(t.Context(), []byte("k"), nil)
		return err != nil
	})
	if err := a.LeaveBucket(t.Context(), "default", true); err != nil {
		t.Errorf("a bucket is left on a full disk: %v", err)
	}
}

// TestNodeLeavesTheFleetAfterItsHeirLeftTheBucket: a has left the bucket, with b as
// its heir. b leaves the fleet: nobody else holds the bucket, so it must not.
func TestNodeLeavesTheFleetAfterItsHeirLeftTheBucket(t *testing.T) {
	s := startServer(t)
	a, b := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", ""))
	put(t, bucket(t, a), "k", "v")
	eventually(t, "b has it", has(bucket(t, b), "k", "v"))
	eventually(t, "a hears b", thinks(t, a, "b", "live"))
	eventually(t, "b hears a", thinks(t, b, "a", "live"))
	long, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	if err := a.LeaveBucket(long, "default", false); err != nil {
		t.Fatal(err)
	}
	brief, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if err := b.Leave(brief, false); err == nil {
		t.Errorf("b has left the fleet, all handed over; a holds %v", a.Buckets())
	}
}
