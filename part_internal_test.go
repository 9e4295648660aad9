package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"replicator/api"
	"replicator/store"
	syncer "replicator/sync"
)

func loneNode(t *testing.T) *Node {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.Shutdown)
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("no server")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	n, err := Open(t.Context(), Config{Node: "a", Dir: t.TempDir(), Conn: nc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// TestSettingsBehindTheLimit: what SetBuckets has taken has an effect, or is refused.
func TestSettingsBehindTheLimit(t *testing.T) {
	for _, removed := range []bool{false, true} {
		n := loneNode(t)
		var ops, dels []store.Op
		for i := range maxSettings {
			v, _ := json.Marshal(settingsRow{V: 1, Settings: BucketSettings{Durability: "sync"}})
			key := []byte(fmt.Sprintf("bucket/many-%05d", i))
			ops = append(ops, store.Op{Key: key, Value: v})
			dels = append(dels, store.Op{Key: key, Delete: true})
		}
		for at := 0; at < len(ops); at += 1024 {
			if _, err := n.tellFleet(t.Context(), ops[at:at+1024]...); err != nil {
				t.Fatal(err)
			}
		}
		if removed {
			for at := 0; at < len(dels); at += 1024 {
				if _, err := n.tellFleet(t.Context(), dels[at:at+1024]...); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := n.SetBuckets(t.Context(), "orders", BucketSettings{DefaultTTL: api.Span(time.Hour)})
		if s := n.Settings()["orders"]; err == nil && s.IsZero() {
			t.Errorf("with %d others (removed: %v) settings were taken and have no effect; %d are known", maxSettings, removed, len(n.Settings()))
		}
	}
}

// TestLeaveBeforeTheEngineKnows: CreateBucket has made the bucket's loop and has not
// told the engine yet when LeaveBucket comes. Nobody else has its rows.
func TestLeaveBeforeTheEngineKnows(t *testing.T) {
	n := loneNode(t)
	dir := n.cfg.Dir
	made, err := n.CreateBucket("orders")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	conn := n.cfg.Conn
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, err = Open(t.Context(), Config{Node: "a", Dir: dir, Conn: conn, Buckets: []string{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if _, begun, err := n.hold("orders", false); err != nil || !begun { // the first half of CreateBucket
		t.Fatal(begun, err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
	defer stop()
	err = n.LeaveBucket(ctx, "orders", false)
	n.feed(syncer.Joined{Bucket: "orders"}) // the second half
	_, on := n.store.Bucket("orders")
	holds := false
	n.ask(func() { holds = n.engine.Known("orders") })
	if err == nil {
		t.Errorf("the only copy was dropped without an heir: on disk %v; the engine believes that it holds it: %v", on, holds)
	}
}

// TestStaleHandleAfterASecondLeave: what a second LeaveBucket, which found the bucket
// before the first ended, does to those who still have it in hand.
func TestStaleHandleAfterASecondLeave(t *testing.T) {
	n := loneNode(t)
	b, err := n.Bucket(DefaultBucket)
	if err != nil {
		t.Fatal(err)
	}
	l := b.loop
	if err := n.LeaveBucket(t.Context(), DefaultBucket, true); err != nil {
		t.Fatal(err)
	}
	// The rest of a second LeaveBucket that has found l before.
	l.parting.Store(true)
	if err := n.partWith(t.Context(), l, true); err != nil {
		l.parting.Store(false)
	}
	if _, err := b.Put(t.Context(), []byte("k"), nil); !errors.Is(err, ErrNoBucket) {
		t.Errorf("a write to a bucket that was left: %v", err)
	}
}
