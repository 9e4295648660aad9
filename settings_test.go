package replicator_test

import (
	"errors"
	"testing"
	"time"

	"replicator"
	"replicator/api"
	"replicator/oplog"
)

func settled(n *replicator.Node, pattern string) func() bool {
	return func() bool { s := n.Settings()[pattern]; return !s.IsZero() }
}

// TestDefaultTTLIsSettledForTheFleet: a node that heard of it gives an end to rows of
// its own puts; a put that names one keeps it, and after it is taken back none is given.
func TestDefaultTTLIsSettledForTheFleet(t *testing.T) {
	s := startServer(t)
	a, b := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", ""))
	ttl := replicator.BucketSettings{DefaultTTL: api.Span(time.Hour)}
	if err := a.SetBuckets(t.Context(), "def*", ttl); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b knows", settled(b, "def*"))
	began := time.Now()
	e := put(t, bucket(t, b), "k", "v")
	if end := time.UnixMilli(e.Expiry); end.Before(began.Add(59*time.Minute)) || end.After(time.Now().Add(time.Hour)) {
		t.Errorf("it ends at %v", end)
	}
	own, err := bucket(t, b).PutWith(t.Context(), []byte("own"), nil, replicator.PutOptions{TTL: time.Minute})
	if err != nil || time.UnixMilli(own.Expiry).After(time.Now().Add(time.Minute)) {
		t.Errorf("a TTL of its own is %v, %v", time.UnixMilli(own.Expiry), err)
	}
	batch, err := bucket(t, b).Batch(t.Context(), replicator.Op{Key: []byte("x")}, replicator.Op{Key: []byte("k"), Delete: true})
	if err != nil || batch[0].Expiry == 0 || batch[1].Expiry != 0 {
		t.Errorf("of a batch: %+v, %v", batch, err)
	}
	if err := b.SetBuckets(t.Context(), "def*", replicator.BucketSettings{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a knows that it is over", func() bool { return len(a.Settings()) == 0 })
	if e := put(t, bucket(t, a), "k", "v"); e.Expiry != 0 {
		t.Errorf("it still ends at %v", time.UnixMilli(e.Expiry))
	}
}

// TestDurabilityIsSettledWhileWritesGoOn: from sync to interval and back under load,
// nothing is lost, and what is answered at last is on the disk.
func TestDurabilityIsSettledWhileWritesGoOn(t *testing.T) {
	s := startServer(t)
	a, b := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", ""))
	for i := range 6 {
		want := replicator.BucketSettings{Durability: []string{"interval", "sync"}[i%2]}
		if err := a.SetBuckets(t.Context(), "default", want); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			e := put(t, bucket(t, a), "k", want.Durability)
			if done := reached(t, a, e); want.Durability == "sync" && !done {
				t.Fatal("it was answered before it was on disk")
			}
		}
	}
	eventually(t, "b has the last", has(bucket(t, b), "k", "sync"))
}

// reached reports whether the write is on the node's disk now.
func reached(tb testing.TB, n *replicator.Node, e replicator.Entry) bool {
	tb.Helper()
	d, err := n.API().Verify(tb.Context(), "default", api.VerifyOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return d[0].Clock[e.Stamp.Origin.String()] >= e.Stamp.Seq
}

// TestWhoMayCreateABucket: one that nobody holds is made where that is settled; one that
// others hold may be held everywhere.
func TestWhoMayCreateABucket(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	some := short("b", "")
	some.Buckets = []string{"default"}
	b := open(t, s.ClientURL(), some)
	if err := a.SetBuckets(t.Context(), "*", replicator.BucketSettings{Create: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if err := a.SetBuckets(t.Context(), "free-*", replicator.BucketSettings{Create: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b knows", func() bool { return len(b.Settings()) == 2 })
	_, err := b.CreateBucket("orders")
	refused[*replicator.CreateError](t, err)
	_, err = b.API().Write(t.Context(), "orders", []api.WriteOp{{Key: []byte("k")}}, api.WriteOptions{CreateBucket: true})
	if !errors.Is(err, api.ErrMayNotCreate) {
		t.Errorf("a put that makes a bucket: %v", err)
	}
	if _, err := b.CreateBucket("free-1"); err != nil {
		t.Errorf("where it may: %v", err)
	}
	orders, err := a.CreateBucket("orders")
	if err != nil {
		t.Fatal(err)
	}
	put(t, orders, "k", "v")
	eventually(t, "b may hold what a holds", func() bool { _, err := b.CreateBucket("orders"); return err == nil })
	if err := a.SetBuckets(t.Context(), "none", replicator.BucketSettings{Create: []string{api.Nobody}}); err != nil {
		t.Fatal(err)
	}
	_, err = a.CreateBucket("none")
	refused[*replicator.CreateError](t, err)
}

// TestOldDeletesAreForgottenWhereThatIsSettled, though a member may not know of them.
func TestOldDeletesAreForgottenWhereThatIsSettled(t *testing.T) {
	s := startServer(t)
	a, b := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", ""))
	put(t, bucket(t, a), "k", "v")
	eventually(t, "b has it", has(bucket(t, b), "k", "v"))
	eventually(t, "a hears b", thinks(t, a, "b", "live"))
	closeAll(t, b) // it counts for 30 days
	del(t, bucket(t, a), "k")
	if err := a.SetBuckets(t.Context(), "default", replicator.BucketSettings{CollectAfter: api.Span(time.Second)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the delete is forgotten", func() bool { return tombstones(t, a) == 0 })
}

// TestSettingsThatAreNone are refused, and change nothing.
func TestSettingsThatAreNone(t *testing.T) {
	a := open(t, startServer(t).ClientURL(), short("a", ""))
	for what, s := range map[string]replicator.BucketSettings{
		"durability": {Durability: "never"},
		"TTL":        {DefaultTTL: api.Span(time.Millisecond)},
		"age":        {CollectAfter: -1},
		"ambiguous":  {Ambiguous: "both"},
		"node":       {Create: []string{"a.b"}},
		"nobody":     {Create: []string{api.Nobody, "a"}},
		"many":       {Create: make([]string, 65)},
	} {
		if err := a.SetBuckets(t.Context(), "default", s); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, pattern := range []string{"", "a*b", "_fleet", "_*", "a.b", string(make([]byte, oplog.MaxName+1))} {
		if err := a.SetBuckets(t.Context(), pattern, replicator.BucketSettings{Durability: "sync"}); err == nil {
			t.Errorf("settings of %q were taken", pattern)
		}
	}
	if len(a.Settings()) > 0 {
		t.Errorf("settled is %v", a.Settings())
	}
}
