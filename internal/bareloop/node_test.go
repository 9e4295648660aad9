package bareloop

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"replicator/oplog"
)

func connect(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func start(t *testing.T, nc *nats.Conn, name, peer string, d Durability, applied func(key, value []byte)) *Node {
	t.Helper()
	n, err := Start(Config{
		Options: Options{Node: name, Nonce: oplog.Nonce{name[0]}, Epoch: oplog.Epoch(name[0])}, Dir: t.TempDir(),
		Conn: nc, Subject: "loop", Durability: d, Peers: []string{peer}, Applied: applied,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: ", what)
		}
	}
}

func TestBothWaysComeToTheSameRows(t *testing.T) {
	for _, d := range []Durability{Sync, Interval, Early} {
		t.Run(string(d), func(t *testing.T) {
			nc := connect(t)
			var told sync.Map
			a := start(t, nc, "a", "b", d, nil)
			b := start(t, nc, "b", "a", d, func(key, _ []byte) { told.Store(string(key), true) })
			const puts = 300
			var writers sync.WaitGroup
			for w := range 8 {
				for _, n := range []*Node{a, b} {
					writers.Go(func() {
						for i := range puts / 4 {
							if err := n.Put(fmt.Appendf(nil, "key-%d", (i*7+w)%50), []byte(n.node)); err != nil {
								t.Error(err)
							}
						}
					})
				}
			}
			writers.Wait()
			await(t, "all is at both", func() bool {
				return a.Covers(b.Own()) == 8*puts/4 && b.Covers(a.Own()) == 8*puts/4
			})
			a.Store.mu.Lock()
			defer a.Store.mu.Unlock()
			if a.parts != b.parts || a.keys != 50 || b.keys != 50 {
				t.Errorf("%d and %d rows, or their hashes differ", a.keys, b.keys)
			}
			if _, ok := told.Load("key-7"); !ok {
				t.Error("b was not told of a row of a")
			}
		})
	}
}

func TestPullBringsAllRows(t *testing.T) {
	for _, way := range []Way{Ingest, Merge, Blind} {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			nc := connect(t)
			a := start(t, nc, "a", "b", Interval, nil)
			const rows = 30_000 // more pages than the window
			var writers sync.WaitGroup
			for w := range 64 {
				writers.Go(func() {
					for i := w; i < rows; i += 64 {
						if err := a.Put(fmt.Appendf(nil, "key-%d", i*7919%rows), make([]byte, 400)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			writers.Wait()
			b := start(t, nc, "b", "a", Interval, nil)
			if err := b.Pull(t.Context(), "a", way); err != nil {
				t.Fatal(err)
			}
			if b.Covers(a.Own()) != rows || b.keys != rows || a.parts != b.parts {
				t.Errorf("covers %d, %d rows, or their hashes differ", b.Covers(a.Own()), b.keys)
			}
		})
	}
}
