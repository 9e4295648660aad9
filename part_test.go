package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"replicator"
)

// TestBucketIsLeft: what it held is with the others, nothing of it answers here any
// more, and only who wants it back gets it.
func TestBucketIsLeft(t *testing.T) {
	s, dir := startServer(t), t.TempDir()
	a, b := open(t, s.ClientURL(), short("a", dir)), open(t, s.ClientURL(), short("b", ""))
	orders, err := a.CreateBucket("orders")
	if err != nil {
		t.Fatal(err)
	}
	put(t, orders, "k", "v")
	eventually(t, "b holds the bucket", func() bool { _, err := b.Bucket("orders"); return err == nil })
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	watched := make(chan error, 1)
	events := orders.Watch(ctx, replicator.WatchOptions{FromStart: true})
	started := make(chan struct{})
	go func() {
		first := sync.OnceFunc(func() { close(started) })
		for _, err := range events {
			first()
			if err != nil {
				watched <- err
				return
			}
		}
		watched <- nil
	}()
	<-started
	if err := a.LeaveBucket(ctx, "orders", false); err != nil {
		t.Fatal(err)
	}
	if err := <-watched; !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("who watched it got %v", err)
	}
	for what, err := range map[string]error{
		"put":   second(orders.Put(t.Context(), []byte("k"), nil)),
		"get":   second(orders.Get(t.Context(), []byte("k"))),
		"wait":  orders.WaitSeen(t.Context(), replicator.Revision{}),
		"find":  second(a.Bucket("orders")),
		"leave": a.LeaveBucket(ctx, "orders", false),
	} {
		if !errors.Is(err, replicator.ErrNoBucket) {
			t.Errorf("%s of a bucket that was left: %v", what, err)
		}
	}
	for _, err := range orders.Watch(t.Context(), replicator.WatchOptions{}) {
		if !errors.Is(err, replicator.ErrNoBucket) {
			t.Errorf("a watch of it: %v", err)
		}
		break
	}
	heir, err := b.Bucket("orders")
	if err != nil {
		t.Fatal(err)
	}
	put(t, heir, "k", "later")
	closeAll(t, a) // a start does not bring it back either
	a = open(t, s.ClientURL(), short("a", dir))
	put(t, bucket(t, b), "sign", "1")
	eventually(t, "a follows b", has(bucket(t, a), "sign", "1"))
	if slices.Contains(a.Buckets(), "orders") {
		t.Error("it came back by itself")
	}
	if orders, err = a.CreateBucket("orders"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a has it again", has(orders, "k", "later"))
}

// TestLastHolderKeepsABucket: without an heir it stays, and takes writes as before;
// unless that is known.
func TestLastHolderKeepsABucket(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	put(t, bucket(t, a), "k", "v")
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	refused[*replicator.NotHandedOverError](t, a.LeaveBucket(ctx, "default", false))
	put(t, bucket(t, a), "k", "w")
	if err := a.LeaveBucket(t.Context(), "default", true); err != nil {
		t.Fatal(err)
	}
	if len(a.Buckets()) != 0 {
		t.Errorf("it holds %v", a.Buckets())
	}
	if err := a.LeaveBucket(t.Context(), "_fleet", true); !errors.Is(err, replicator.ErrNoBucket) {
		t.Errorf("leaving the fleet's bucket: %v", err)
	}
}

// TestBucketIsLeftUnderLoad: every write that was answered is at the heir.
func TestBucketIsLeftUnderLoad(t *testing.T) {
	s := startServer(t)
	a, b := open(t, s.ClientURL(), short("a", "")), open(t, s.ClientURL(), short("b", ""))
	eventually(t, "a hears b", thinks(t, a, "b", "live"))
	var taken, own sync.Map
	var writers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for i := range 4 {
		writers.Go(func() { // b writes all the time, so that a hears of more
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = bucket(t, b).Put(ctx, fmt.Appendf(nil, "b-%d-%d", i, n%50), nil)
			}
		})
		writers.Go(func() {
			l, err := a.Bucket("default")
			for n := 0; err == nil; n++ {
				key := fmt.Sprintf("a-%d-%d", i, n)
				if _, err = l.Put(ctx, []byte(key), nil); err == nil {
					taken.Store(key, true)
				}
			}
			own.Store(i, err)
		})
	}
	eventually(t, "some are taken", func() bool { return count(&taken) > 100 })
	leaving, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	if err := a.LeaveBucket(leaving, "default", false); err != nil {
		t.Fatal(err)
	}
	stop()
	writers.Wait()
	own.Range(func(_, err any) bool {
		if _, parting := errors.AsType[*replicator.PartingError](err.(error)); !parting && !errors.Is(err.(error), replicator.ErrNoBucket) {
			t.Errorf("a writer ended with %v", err)
		}
		return true
	})
	taken.Range(func(key, _ any) bool {
		if _, err := bucket(t, b).Get(t.Context(), []byte(key.(string))); err != nil {
			t.Errorf("key %s at b: %v", key, err)
		}
		return true
	})
}

func count(m *sync.Map) (n int) {
	m.Range(func(_, _ any) bool { n++; return true })
	return n
}

// TestBucketsByPattern: a node set to hold some holds those alone, whatever it hears.
func TestBucketsByPattern(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), short("a", ""))
	some := short("b", "")
	some.Buckets = []string{"shop-*", "stock"}
	b := open(t, s.ClientURL(), some)
	for _, name := range []string{"shop-1", "other", "shop-2", "shop"} {
		made, err := a.CreateBucket(name)
		if err != nil {
			t.Fatal(err)
		}
		put(t, made, "k", name)
	}
	for _, name := range []string{"shop-1", "shop-2"} {
		eventually(t, "b holds "+name, func() bool {
			held, err := b.Bucket(name)
			return err == nil && has(held, "k", name)()
		})
	}
	if got := b.Buckets(); !slices.Equal(got, []string{"shop-1", "shop-2", "stock"}) {
		t.Errorf("b holds %v", got)
	}
	bad := replicator.Config{Dir: t.TempDir(), Conn: connect(t, s.ClientURL(), "c"), Buckets: []string{"a*b"}}
	if _, err := replicator.Open(t.Context(), bad); err == nil {
		t.Error("a pattern with a * in the middle was taken")
	}
}
