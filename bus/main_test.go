package bus_test

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"replicator/bus"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(tb testing.TB, tune func(*server.Options)) *server.Server {
	tb.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true}
	if tune != nil {
		tune(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		tb.Fatal("server is not ready")
	}
	return s
}

func connect(tb testing.TB, url string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, append(bus.ConnectOptions(tb.Name(), nil), opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// A party is one node with what it received.
type party struct {
	*bus.Bus
	nc      *nats.Conn
	got     chan bus.Message
	notices chan bus.Notice
}

func newParty(tb testing.TB, nc *nats.Conn, node string, tune func(*bus.Options)) *party {
	tb.Helper()
	p := &party{nc: nc, got: make(chan bus.Message, 1024), notices: make(chan bus.Notice, 1024)}
	o := bus.Options{
		Node:    node,
		Deliver: func(m bus.Message) { p.got <- m },
		Notify:  func(n bus.Notice) { p.notices <- n },
	}
	if tune != nil {
		tune(&o)
	}
	b, err := bus.New(nc, o)
	if err != nil {
		tb.Fatal(err)
	}
	p.Bus = b
	if err := b.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// join also waits until the server knows of it.
func (p *party) join(tb testing.TB, bucket string) {
	tb.Helper()
	if err := p.Join(bucket); err != nil {
		tb.Fatal(err)
	}
	p.flush(tb)
}

func (p *party) flush(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		tb.Fatal(err)
	}
}

func (p *party) next(tb testing.TB) bus.Message {
	tb.Helper()
	return receive(tb, p.got)
}

// notice waits for a notice of one state and skips others.
func (p *party) notice(tb testing.TB, s bus.State) bus.Notice {
	tb.Helper()
	for {
		if n := receive(tb, p.notices); n.State == s {
			return n
		}
	}
}

func receive[T any](tb testing.TB, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually polls, for counters have nobody to tell.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatalf("never %s", what)
		}
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	if n > 0 {
		b[0] = 0x01
	}
	return b
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A hold blocks Deliver until it is let go.
type hold struct {
	ch   chan struct{}
	once sync.Once
}

func newHold(tb testing.TB) *hold {
	tb.Helper()
	h := &hold{ch: make(chan struct{})}
	tb.Cleanup(h.release)
	return h
}

func (h *hold) release() { h.once.Do(func() { close(h.ch) }) }
