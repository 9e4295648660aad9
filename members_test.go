package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"replicator"
	"replicator/api"
)

// memberState is how n thinks of another node; empty: it does not know it.
func memberState(tb testing.TB, n *replicator.Node, name string) string {
	tb.Helper()
	for _, m := range n.Status(tb.Context()).Members {
		if m.Node == name {
			return m.State
		}
	}
	return ""
}

func thinks(tb testing.TB, n *replicator.Node, name, state string) func() bool {
	tb.Helper()
	return func() bool { return memberState(tb, n, name) == state }
}

func short(name, dir string) replicator.Config {
	return replicator.Config{Node: name, Dir: dir, CollectEvery: 100 * time.Millisecond}
}

func refused[E error](tb testing.TB, err error) {
	tb.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		var want E
		tb.Errorf("%v, want a %T", err, want)
	}
}

// TestForgottenNode is retired on every node, also on one that is away when it is
// said: nothing waits for it. When it comes back it loses nothing and takes no
// writes, until it is readmitted.
func TestForgottenNode(t *testing.T) {
	s, alone, dir, dirB := startServer(t), startServer(t), t.TempDir(), t.TempDir()
	a, b, c := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", dirB)), open(t, s.ClientURL(), short("c", dir))
	put(t, bucket(t, a), "deleted", "1")
	put(t, bucket(t, c), "kept", "1")
	eventually(t, "c has both", has(bucket(t, c), "deleted", "1"))
	eventually(t, "a has both", has(bucket(t, a), "kept", "1"))
	eventually(t, "a hears c", thinks(t, a, "c", "live"))
	refused[*replicator.MemberLiveError](t, a.Forget(t.Context(), "c", false))
	if err := a.Forget(t.Context(), "nobody", true); !errors.Is(err, replicator.ErrNoMember) {
		t.Errorf("forgetting nobody: %v", err)
	}
	closeAll(t, b, c)
	c = open(t, alone.ClientURL(), short("c", dir)) // it does not reach a
	put(t, bucket(t, c), "unseen", "1")
	closeAll(t, c)

	del(t, bucket(t, a), "deleted")
	if err := a.Forget(t.Context(), "c", false); err != nil {
		t.Fatal(err)
	}
	b = open(t, s.ClientURL(), short("b", dirB))
	eventually(t, "b hears that c was forgotten", thinks(t, b, "c", "forgotten"))
	eventually(t, "the delete is forgotten without c", func() bool { return tombstones(t, a)+tombstones(t, b) == 0 })

	c = open(t, s.ClientURL(), short("c", dir))
	eventually(t, "a has what c wrote alone", has(bucket(t, a), "unseen", "1"))
	eventually(t, "what a deleted is gone at c", gone(bucket(t, c), "deleted"))
	eventually(t, "c knows that it was forgotten", thinks(t, c, "c", "forgotten"))
	_, err := bucket(t, c).Put(t.Context(), []byte("refused"), nil)
	refused[*replicator.RetiredError](t, err)
	if st := c.Status(t.Context()); st.Fenced == "" {
		t.Error("its status does not say why it takes no writes")
	}
	if err := c.Readmit(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	put(t, bucket(t, c), "taken", "1")
	eventually(t, "b has it", has(bucket(t, b), "taken", "1"))
	eventually(t, "a takes c for a member", thinks(t, a, "c", "live"))
	if err := a.Readmit(t.Context(), "c"); !errors.Is(err, replicator.ErrNoMember) {
		t.Errorf("readmitting a member: %v", err)
	}
}

func closeAll(tb testing.TB, nodes ...*replicator.Node) {
	tb.Helper()
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestLeave hands over what the node has, also while others write without end.
func TestLeave(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	a, b, c := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", "")), open(t, s.ClientURL(), short("c", dir))
	eventually(t, "c hears a and b", func() bool { return thinks(t, c, "a", "live")() && thinks(t, c, "b", "live")() })
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan int, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			_, _ = bucket(t, a).Put(ctx, fmt.Appendf(nil, "busy-%d", n%100), []byte("x"))
		}
		written <- n
	}()
	for i := range 50 {
		put(t, bucket(t, c), fmt.Sprintf("last-%d", i), "1")
	}
	if err := c.Leave(t.Context(), false); err != nil {
		t.Error(err)
	}
	if !has(bucket(t, a), "last-49", "1")() || !has(bucket(t, b), "last-49", "1")() {
		t.Error("c has left, and a or b lacks its last write")
	}
	select {
	case <-c.Left():
	default:
		t.Error("it has left and does not say so")
	}
	_, err := bucket(t, c).Put(t.Context(), []byte("late"), nil)
	refused[*replicator.RetiredError](t, err)
	stop()
	if n := <-written; n < 10 {
		t.Errorf("a wrote %d times beside it", n)
	}
	closeAll(t, c)
	eventually(t, "b knows", thinks(t, b, "c", "left"))
	del(t, bucket(t, a), "last-0")
	eventually(t, "nothing waits for it", func() bool { return tombstones(t, a)+tombstones(t, b) == 0 })

	c = open(t, s.ClientURL(), short("c", dir))
	_, err = bucket(t, c).Put(t.Context(), []byte("late"), nil)
	refused[*replicator.RetiredError](t, err)
}

// TestLeaveIsRefused where the node's writes would be on no other disk; it is a
// member as before.
func TestLeaveIsRefused(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	put(t, bucket(t, a), "only", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	refused[*replicator.NotHandedOverError](t, a.Leave(ctx, false))
	put(t, bucket(t, a), "goes on", "1")
	if state := memberState(t, a, "a"); state != "live" {
		t.Errorf("it is %s", state)
	}
	if err := a.Leave(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if state := memberState(t, a, "a"); state != "left" {
		t.Errorf("it is %s", state)
	}
}

// TestLeaveKnowsWhatItDoesNotHold: a bucket that the node was told to replicate no
// more may have writes that are nowhere else.
func TestLeaveKnowsWhatItDoesNotHold(t *testing.T) {
	s, alone, dir := startServer(t), startServer(t), t.TempDir()
	a := open(t, s.ClientURL(), short("a", ""))
	b := open(t, alone.ClientURL(), short("b", dir))
	stock, err := b.CreateBucket("stock")
	if err != nil {
		t.Fatal(err)
	}
	put(t, stock, "only", "1")
	closeAll(t, b)
	cfg := short("b", dir)
	cfg.Buckets = []string{"default"}
	b = open(t, s.ClientURL(), cfg)
	eventually(t, "b hears a", thinks(t, b, "a", "live"))
	err = b.Leave(t.Context(), false)
	refused[*replicator.NotHandedOverError](t, err)
	if e, ok := errors.AsType[*replicator.NotHandedOverError](err); !ok || !slices.Equal(e.Unheld, []string{"stock"}) {
		t.Errorf("refused for %v", err)
	}
	put(t, bucket(t, b), "goes on", "1")
	closeAll(t, b)
	b = open(t, s.ClientURL(), short("b", dir)) // with all buckets
	eventually(t, "a has the bucket", func() bool { return slices.Contains(a.Buckets(), "stock") })
	if err := b.Leave(t.Context(), false); err != nil {
		t.Error(err)
	}
}

// TestFleetBucketIsNobodys: nodes hold it, users do not see it.
func TestFleetBucketIsNobodys(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a", Buckets: []string{"orders"}})
	if _, err := a.Bucket("_fleet"); !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("Bucket: %v", err)
	}
	if _, err := a.CreateBucket("_fleet"); err == nil {
		t.Error("CreateBucket takes it")
	}
	if got := a.Buckets(); !slices.Equal(got, []string{"orders"}) {
		t.Errorf("Buckets: %v", got)
	}
	st := a.Status(t.Context())
	if len(st.Buckets) != 1 || st.Fleet == nil || st.Fleet.Name != "_fleet" {
		t.Errorf("status: %+v, fleet %+v", st.Buckets, st.Fleet)
	}
	c, err := api.NewClient(connect(t, s.ClientURL(), "client"), api.ClientOptions{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // its connection goes too
	if d, err := c.Verify(t.Context(), "a", "", api.VerifyOptions{}); err != nil || len(d.Buckets) != 1 {
		t.Errorf("verify: %+v, %v", d, err)
	}
	if _, err := c.Put(t.Context(), "_fleet", []byte("member/a"), []byte("x"), api.PutOptions{}); !errors.Is(err, api.ErrBadBucket) {
		t.Errorf("put: %v", err)
	}
}

// TestCollectByForce drops old deletes though a node that is away lacks them. It
// compares its rows when it is back.
func TestCollectByForce(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	a, c := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("c", dir))
	put(t, bucket(t, a), "deleted", "1")
	eventually(t, "c has it", has(bucket(t, c), "deleted", "1"))
	eventually(t, "a hears c", thinks(t, a, "c", "live"))
	closeAll(t, c)
	del(t, bucket(t, a), "deleted")
	if n, err := a.Collect(t.Context(), replicator.DefaultBucket, time.Hour); n != 0 || err != nil {
		t.Errorf("%d rows older than an hour, %v", n, err)
	}
	if tombstones(t, a) != 1 {
		t.Fatal("a collected what c does not know of by itself")
	}
	if _, err := a.Collect(t.Context(), replicator.DefaultBucket, -1); err == nil {
		t.Error("a negative age is taken")
	}
	if n, err := a.Collect(t.Context(), replicator.DefaultBucket, 0); n != 1 || err != nil {
		t.Errorf("%d rows of any age, %v", n, err)
	}
	c = open(t, s.ClientURL(), short("c", dir))
	eventually(t, "it is gone at c", gone(bucket(t, c), "deleted"))
}
