package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"replicator"
	"replicator/api"
)

// many are more rows than may go on the word of one node.
const many = 1100

func batchOf(n int, deleted bool) []replicator.Op {
	ops := make([]replicator.Op, n)
	for i := range ops {
		ops[i] = replicator.Op{Key: fmt.Appendf(nil, "k%04d", i), Value: []byte("v"), Delete: deleted}
	}
	return ops
}

func batch(tb testing.TB, b *replicator.Bucket, ops []replicator.Op) {
	tb.Helper()
	if _, err := b.Batch(tb.Context(), ops...); err != nil {
		tb.Fatal(err)
	}
}

// doubt returns how the bucket of n waits, nil if it does not.
func doubt(n *replicator.Node) *api.Doubt {
	for _, b := range n.Status(context.Background()).Buckets {
		if b.Name == replicator.DefaultBucket {
			return b.Doubt
		}
	}
	return nil
}

// TestDoubtfulReconcileWaits until somebody accepts what it removes. Writes go on
// meanwhile, and what others write comes afterwards.
func TestDoubtfulReconcileWaits(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	a, c := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("c", dir))
	batch(t, bucket(t, a), batchOf(many, false))
	eventually(t, "c has all", has(bucket(t, c), fmt.Sprintf("k%04d", many-1), "v"))
	eventually(t, "a hears c", thinks(t, a, "c", "live"))
	if _, err := c.AcceptReconcile(t.Context(), replicator.DefaultBucket, replicator.Doubt{Removes: many}); !errors.Is(err, replicator.ErrNoDoubt) {
		t.Errorf("nothing waits: %v", err)
	}
	closeAll(t, c)
	batch(t, bucket(t, a), batchOf(many, true))
	if n, err := a.Collect(t.Context(), replicator.DefaultBucket, 0); n != many || err != nil {
		t.Fatalf("%d rows of any age, %v", n, err)
	}
	c = open(t, s.ClientURL(), short("c", dir))
	eventually(t, "c doubts", func() bool { return doubt(c) != nil })
	if d := doubt(c); d.Removes != many || d.Rows != many || len(d.Nodes) != 1 || d.Nodes[0] != "a" {
		t.Errorf("it waits with %+v", d)
	}
	put(t, bucket(t, c), "own", "1")
	put(t, bucket(t, a), "new", "1")
	eventually(t, "a has what c wrote", has(bucket(t, a), "own", "1"))
	if !has(bucket(t, c), "k0000", "v")() {
		t.Error("a row is gone that nobody has accepted to lose")
	}
	if _, err := c.AcceptReconcile(t.Context(), "nope", replicator.Doubt{}); !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("no such bucket: %v", err)
	}
	for _, other := range []replicator.Doubt{{Removes: many - 1}, {Removes: many, Empties: true}} {
		if _, err := c.AcceptReconcile(t.Context(), replicator.DefaultBucket, other); !errors.Is(err, replicator.ErrNoDoubt) {
			t.Errorf("accepted %+v, which it is not: %v", other, err)
		}
	}
	if d, err := c.AcceptReconcile(t.Context(), replicator.DefaultBucket, replicator.Doubt(*doubt(c))); err != nil || d.Removes != many {
		t.Errorf("accepted %+v, %v", d, err)
	}
	eventually(t, "what was accepted is gone", gone(bucket(t, c), "k0000"))
	eventually(t, "c has what a wrote", has(bucket(t, c), "new", "1"))
	if !has(bucket(t, c), "own", "1")() || doubt(c) != nil {
		t.Error("its own row is gone, or it still waits")
	}
}

// TestReplicaIsEmptiedAsTheOperatorWants: it gets what may be older than a delete
// it has forgotten, and the only master cannot tell it that it has all the rest.
func TestReplicaIsEmptiedAsTheOperatorWants(t *testing.T) {
	s := startServer(t,
		&server.User{Username: "all", Password: "pw"},
		&server.User{Username: "mute", Password: "pw", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"replicator.*.sync.r.>"}},
		}})
	url := func(user string) string { return strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":pw@", 1) }
	alone, dir := startServer(t), t.TempDir()
	b := open(t, alone.ClientURL(), short("b", dir))
	put(t, bucket(t, b), "k", "old")
	closeAll(t, b)
	a, r := open(t, url("all"), short("a", "")), open(t, url("all"), replicator.Config{Node: "r", Replica: true})
	put(t, bucket(t, a), "deleted", "1")
	put(t, bucket(t, a), "only", "here")
	del(t, bucket(t, a), "deleted")
	eventually(t, "r has all of a", has(bucket(t, r), "only", "here"))
	eventually(t, "r collects the delete", func() bool {
		n, err := r.Collect(t.Context(), replicator.DefaultBucket, 0)
		return err == nil && n == 1
	})
	closeAll(t, a)
	open(t, url("mute"), short("b", dir))
	eventually(t, "r waits", func() bool { return doubt(r) != nil })
	if d := doubt(r); !d.Empties || d.Removes != 1 || d.Rows != 1 || d.Nodes == nil || len(d.Nodes) != 0 {
		t.Errorf("it waits with %+v", d)
	}
	if !has(bucket(t, r), "only", "here")() {
		t.Error("it does not wait to be told so")
	}
	if d, err := r.AcceptReconcile(t.Context(), replicator.DefaultBucket, replicator.Doubt(*doubt(r))); err != nil || !d.Empties || d.Removes != 1 {
		t.Errorf("accepted %+v, %v", d, err)
	}
	eventually(t, "r has what b has", has(bucket(t, r), "k", "old"))
	if !gone(bucket(t, r), "only")() || doubt(r) != nil {
		t.Error("r has more than b, or it still waits")
	}
}
