package replicator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"replicator"
)

// tombstones returns how many deleted keys the node still remembers.
func tombstones(tb testing.TB, n *replicator.Node) uint64 {
	tb.Helper()
	for _, b := range n.Status(tb.Context()).Buckets {
		if b.Name == replicator.DefaultBucket {
			return b.Tombstones
		}
	}
	tb.Fatal("no such bucket")
	return 0
}

func gone(b *replicator.Bucket, key string) func() bool {
	return func() bool {
		_, err := b.Get(context.Background(), []byte(key))
		return errors.Is(err, replicator.ErrNotFound)
	}
}

func del(tb testing.TB, b *replicator.Bucket, key string) {
	tb.Helper()
	if _, err := b.Delete(tb.Context(), []byte(key)); err != nil {
		tb.Fatal(err)
	}
}

// TestDeletesAreForgottenByAll, once all have them.
func TestDeletesAreForgottenByAll(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a", CollectEvery: 100 * time.Millisecond})
	b := open(t, s.ClientURL(), replicator.Config{Node: "b", CollectEvery: 100 * time.Millisecond})
	put(t, bucket(t, a), "k", "1")
	put(t, bucket(t, b), "kept", "1")
	eventually(t, "b has it", has(bucket(t, b), "k", "1"))
	del(t, bucket(t, b), "k")
	eventually(t, "a sees the delete", gone(bucket(t, a), "k"))
	eventually(t, "both forget it", func() bool { return tombstones(t, a)+tombstones(t, b) == 0 })
	eventually(t, "a has the other", has(bucket(t, a), "kept", "1"))
}

// TestEvictedNodeIsReconciled: a node that was away for longer than the others
// remember deletes for loses what they deleted and keeps what only it has.
func TestEvictedNodeIsReconciled(t *testing.T) {
	s, alone := startServer(t), startServer(t)
	brief := func(name, dir string) replicator.Config {
		return replicator.Config{Node: name, Dir: dir, CollectEvery: 100 * time.Millisecond, EvictAfter: 3 * time.Second}
	}
	a, dir := open(t, s.ClientURL(), brief("a", "")), t.TempDir()
	c := open(t, s.ClientURL(), brief("c", dir))
	put(t, bucket(t, a), "deleted", "1")
	put(t, bucket(t, a), "kept", "1")
	eventually(t, "c has both", func() bool {
		return has(bucket(t, c), "deleted", "1")() && has(bucket(t, c), "kept", "1")()
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	del(t, bucket(t, a), "deleted")
	eventually(t, "a forgets the delete without c", func() bool { return tombstones(t, a) == 0 })

	c = open(t, alone.ClientURL(), brief("c", dir)) // it does not reach a
	put(t, bucket(t, c), "unseen", "1")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, s.ClientURL(), brief("c", dir))
	eventually(t, "what a deleted is gone at c", gone(bucket(t, c), "deleted"))
	eventually(t, "a has what c wrote alone", has(bucket(t, a), "unseen", "1"))
	eventually(t, "c has ended the reconcile", func() bool {
		return !c.Status(context.Background()).Buckets[0].Reconcile
	})
	for name, n := range map[string]*replicator.Node{"a": a, "c": c} {
		if !has(bucket(t, n), "kept", "1")() || !gone(bucket(t, n), "deleted")() {
			t.Errorf("%s has lost what all have, or keeps what is deleted", name)
		}
	}
}
