package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/api"
)

func TestWatchTellsEverythingFromItsStart(t *testing.T) {
	f, c, _ := pair(t)
	const n = 3000 // several windows
	started := func(string) {
		go func() {
			for i := range n {
				f.mu.Lock()
				f.write("default", api.WriteOp{Key: fmt.Appendf(nil, "w/%d", i), Value: []byte("\xff")}, api.WriteOptions{})
				f.write("default", api.WriteOp{Key: []byte("other")}, api.WriteOptions{})
				f.mu.Unlock()
			}
		}()
	}
	i := 0
	for r, err := range c.Watch(t.Context(), "default", []byte("w/"), api.WatchOptions{Started: started}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("w/%d", i); string(r.Key) != want || !r.Local || r.Node != "a" || r.Stamp.IsZero() {
			t.Fatalf("event %d: %+v", i, r)
		}
		if i++; i == n {
			break
		}
	}
}

func TestWatchTellsDeletes(t *testing.T) {
	f, c, _ := pair(t)
	del := func(string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.write("default", api.WriteOp{Key: []byte("k"), Delete: true}, api.WriteOptions{})
	}
	for r, err := range c.Watch(t.Context(), "default", nil, api.WatchOptions{Started: del}) {
		if err != nil || !r.Deleted || string(r.Key) != "k" {
			t.Fatalf("%+v, %v", r, err)
		}
		break
	}
}

func TestWatchOfMissingBucketFails(t *testing.T) {
	_, c, _ := pair(t)
	for _, err := range c.Watch(t.Context(), "nope", nil, api.WatchOptions{}) {
		if !errors.Is(err, api.ErrNoBucket) {
			t.Errorf("watch: %v", err)
		}
		return
	}
	t.Error("no error")
}

// raw opens a stream as somebody who then neither renews nor acknowledges.
func raw(t *testing.T, nc *nats.Conn) *nats.Subscription {
	t.Helper()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("replicator.default.api.a.watch", inbox, nil); err != nil {
		t.Fatal(err)
	}
	return sub
}

type head struct {
	Type   string     `json:"type"`
	Stream string     `json:"stream"`
	Number uint64     `json:"number"`
	Error  *api.Error `json:"error"`
}

func nextHead(t *testing.T, sub *nats.Subscription) head {
	t.Helper()
	m, err := sub.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var h head
	line, _, _ := bytes.Cut(m.Data, []byte{'\n'})
	if err := json.Unmarshal(line, &h); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	return h
}

func until(t *testing.T, sub *nats.Subscription, kind string) head {
	t.Helper()
	for {
		h := nextHead(t, sub)
		if h.Type == kind {
			return h
		}
		if h.Type == "done" || h.Type == "error" {
			t.Fatalf("ended with %+v", h)
		}
	}
}

// TestSlowWatchWaits: no more is sent than the client has room for, what waits is
// bounded, and once it has taken what it got the rest comes.
func TestSlowWatchWaits(t *testing.T) {
	url := broker(t, "a", nil)
	f := newFake("a")
	serve(t, url, f, api.ServiceOptions{Queue: 8, Heartbeat: time.Hour})
	nc := dial(t, url)
	sub := raw(t, nc)
	const window, writes = 256, 400
	stream := nextHead(t, sub).Stream
	value := bytes.Repeat([]byte("x"), 200<<10) // one message each
	f.mu.Lock()
	for i := range writes {
		f.write("default", api.WriteOp{Key: fmt.Appendf(nil, "%d", i), Value: value}, api.WriteOptions{})
	}
	f.mu.Unlock()
	var last head
	for last.Number < window {
		last = nextHead(t, sub)
	}
	if _, err := sub.NextMsg(100 * time.Millisecond); err == nil {
		t.Error("more came than the window lets through")
	}
	for last.Number < writes+1 {
		ask := fmt.Appendf(nil, `{"renew":%q,"number":%d}`, stream, last.Number)
		if _, err := nc.Request("replicator.default.api.a.watch", ask, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		for sent := last.Number; last.Number < min(sent+window, writes+1); {
			if last = nextHead(t, sub); last.Type != "lines" {
				t.Fatalf("%+v", last)
			}
		}
	}
}

func TestLapsedLeaseEndsWatch(t *testing.T) {
	url := broker(t, "a", nil)
	f := newFake("a")
	serve(t, url, f, api.ServiceOptions{Heartbeat: 10 * time.Millisecond, Lease: 50 * time.Millisecond})
	sub := raw(t, dial(t, url))
	until(t, sub, "heartbeat")
	if h := until(t, sub, "error"); !errors.Is(h.Error, api.ErrLapsed) {
		t.Errorf("ended with %+v", h.Error)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) != 0 {
		t.Errorf("%d watchers left", len(f.watchers))
	}
}

func TestRenewedLeaseLives(t *testing.T) {
	url := broker(t, "a", nil)
	f := newFake("a")
	serve(t, url, f, api.ServiceOptions{Heartbeat: 10 * time.Millisecond, Lease: 200 * time.Millisecond})
	c := client(t, dial(t, url), api.ClientOptions{Renew: 20 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	for _, err := range c.Watch(ctx, "default", nil, api.WatchOptions{}) {
		t.Errorf("ended: %v", err)
	}
}

func TestSilentNodeIsNoticed(t *testing.T) {
	url := broker(t, "a", nil)
	serve(t, url, newFake("a"), api.ServiceOptions{Heartbeat: time.Hour})
	c := client(t, dial(t, url), api.ClientOptions{Silence: 50 * time.Millisecond})
	var got error
	for _, err := range c.Watch(t.Context(), "default", nil, api.WatchOptions{}) {
		got = err
	}
	if !errors.Is(got, api.ErrSilent) {
		t.Errorf("ended: %v", got)
	}
}

func TestStoppingServiceEndsWatches(t *testing.T) {
	url := broker(t, "a", nil)
	nc := dial(t, url)
	s, err := api.NewService(nc, newFake("a"), api.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, dial(t, url), api.ClientOptions{Node: "a"})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var got error
	stop := func(string) { go func() { _ = s.Stop(t.Context()) }() }
	for _, err := range c.Watch(t.Context(), "default", nil, api.WatchOptions{Started: stop}) {
		got = err
	}
	if !errors.Is(got, api.ErrStopping) {
		t.Errorf("ended: %v", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	url := broker(t, "a", nil)
	serve(t, url, newFake("a"), api.ServiceOptions{Streams: 1})
	nc := dial(t, url)
	until(t, raw(t, nc), "open")
	m, err := raw(t, nc).NextMsg(2 * time.Second)
	if err != nil || !strings.Contains(string(m.Data), "overloaded") {
		t.Errorf("%v %v", m, err)
	}
}

func TestSyncTellsProgressAndEnds(t *testing.T) {
	f, c, _ := pair(t)
	var seen []api.SyncProgress
	err := c.Sync(t.Context(), "", func(node string, p api.SyncProgress) {
		if node != "a" {
			t.Errorf("node %q", node)
		}
		seen = append(seen, p)
	})
	if err != nil || len(seen) != 1 || !seen[0].InSync || seen[0].Bucket != "" {
		t.Errorf("%+v, %v", seen, err)
	}
	f.sync = func(context.Context, string, func(api.SyncProgress)) error {
		return api.ErrInternal.With("peer z went away")
	}
	if err := c.Sync(t.Context(), "default", nil); err == nil || err.Error() != "peer z went away" {
		t.Errorf("sync: %v", err)
	}
}

func TestLeavingClientStopsSync(t *testing.T) {
	f, c, _ := pair(t)
	ended := make(chan error, 1)
	f.sync = func(ctx context.Context, _ string, progress func(api.SyncProgress)) error {
		progress(api.SyncProgress{Peer: "z"})
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := c.Sync(ctx, "default", func(string, api.SyncProgress) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("sync: %v", err)
	}
	if err := <-ended; err == nil || err.Error() != "stopped by the client" {
		t.Errorf("cause: %v", err)
	}
}
