package bus_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"replicator/bus"
)

func TestDeniedIsNoticed(t *testing.T) {
	url := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{
			Username: "n1", Password: "pw",
			Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Deny: []string{"replicator.orders.live.n1", "elsewhere"}},
				Subscribe: &server.SubjectPermission{Deny: []string{"replicator.secret.live.*", "replicator.*.sync.n1.*"}},
			},
		}}
	}).ClientURL()
	callers := make(chan error, 16)
	nc := connect(t, url, nats.UserInfo("n1", "pw"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { callers <- err }))
	p := newParty(t, nc, "n1", nil)
	expect := func(kind bus.Kind, bucket, subject string) {
		t.Helper()
		n := p.notice(t, bus.Denied)
		if n.Kind != kind || n.Bucket != bucket || n.Subject != subject || !errors.Is(n.Err, nats.ErrPermissionViolation) {
			t.Fatalf("got %+v", n)
		}
		if err := receive(t, callers); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatalf("the caller's handler got %v", err)
		}
	}
	expect(bus.KindSync, "", "replicator.*.sync.n1.*")
	must(t, p.PublishLive("orders", nil, []byte{1}))
	expect(bus.KindLive, "orders", "replicator.orders.live.n1")
	must(t, p.Join("secret"))
	expect(bus.KindLive, "secret", "replicator.secret.live.*")
	// What others do on the connection is theirs.
	must(t, nc.Publish("elsewhere", nil))
	if err := receive(t, callers); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Fatalf("the caller's handler got %v", err)
	}
	if s := p.Stats(); s.Denied != 3 {
		t.Fatalf("%d counted", s.Denied)
	}
}

func TestSlowConsumerIsNoticed(t *testing.T) {
	const pending, size, count = 10_000, 1000, 200
	h := newHold(t)
	delivered := make(chan bus.Message, count+1)
	n1, n2 := pair(t, nil, func(o *bus.Options) {
		o.PendingBytes = pending
		if o.Node == "n2" {
			o.Deliver = func(m bus.Message) { <-h.ch; delivered <- m }
		}
	})
	n2.join(t, "orders")
	for range count {
		must(t, n1.PublishLive("orders", nil, random(size)))
	}
	n1.flush(t)
	n := n2.notice(t, bus.Lost)
	if n.Kind != bus.KindLive || n.Bucket != "orders" || n.Subject != "replicator.orders.live.*" || n.Dropped < 1 {
		t.Fatalf("got %+v", n)
	}
	n2.flush(t) // all that n1 sent has been taken or dropped
	h.release()
	for range pending / size {
		receive(t, delivered)
	}
	// The next message that finds room ends it, and shows how much was lost.
	lost := n.Dropped
	must(t, n1.PublishLive("orders", nil, random(size)))
	receive(t, delivered)
	for lost < count-pending/size {
		lost += n2.notice(t, bus.Lost).Dropped
	}
	if s := n2.Stats(); lost != count-pending/size || s.SlowDrops != uint64(lost) {
		t.Fatalf("lost %d, counted %d", lost, s.SlowDrops)
	}
}

func TestReconnectReadsMaxPayloadAgain(t *testing.T) {
	first := startServer(t, func(o *server.Options) { o.MaxPayload = 512 << 10 })
	port := first.Addr().(*net.TCPAddr).Port
	p := newParty(t, connect(t, first.ClientURL()), "n1", nil)
	p.join(t, "orders")
	if n := p.notice(t, bus.Connected); n.MaxPayload != 512<<10 {
		t.Fatalf("got %+v", n)
	}
	p.FrameFailed()
	if got := p.LiveLimit(); got != 128<<10 {
		t.Fatalf("limit %d", got)
	}

	first.Shutdown()
	first.WaitForShutdown()
	p.notice(t, bus.Disconnected)
	err := p.PublishLive("orders", nil, []byte{1})
	if !errors.Is(err, bus.ErrOffline) || !errors.Is(err, nats.ErrConnectionReconnecting) {
		t.Fatalf("offline: %v", err)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, bus.ErrOffline) {
		t.Fatalf("flush: %v", err)
	}
	must(t, p.Join("later"))

	startServer(t, func(o *server.Options) { o.MaxPayload = 16 << 10; o.Port = port })
	if n := p.notice(t, bus.Connected); n.MaxPayload != 16<<10 {
		t.Fatalf("got %+v", n)
	}
	if got := p.LiveLimit(); got != 16<<10-512 {
		t.Fatalf("limit %d", got)
	}
	if s := p.Stats(); s.Reconnects != 1 {
		t.Fatalf("%d reconnects", s.Reconnects)
	}
	// Subscriptions are back, that made while offline too.
	for _, bucket := range []string{"orders", "later"} {
		body := random(p.LiveLimit())
		must(t, p.PublishLive(bucket, nil, body))
		if m := p.next(t); m.Bucket != bucket || !bytes.Equal(m.Body, body) {
			t.Fatalf("got %s", m.Bucket)
		}
	}
}

func TestOfflineEvenWithAReconnectBuffer(t *testing.T) {
	s := startServer(t, nil)
	p := newParty(t, connect(t, s.ClientURL(), nats.ReconnectBufSize(1<<20)), "n1", nil)
	p.notice(t, bus.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	p.notice(t, bus.Disconnected)
	if err := p.PublishHeartbeat([]byte{1}); !errors.Is(err, bus.ErrOffline) {
		t.Fatalf("got %v", err)
	}
}

func TestStartBeforeTheServer(t *testing.T) {
	gone := startServer(t, nil)
	port := gone.Addr().(*net.TCPAddr).Port
	gone.Shutdown()
	gone.WaitForShutdown()
	p := newParty(t, connect(t, gone.ClientURL()), "n1", nil)
	p.notice(t, bus.Disconnected)
	must(t, p.Join("orders"))
	startServer(t, func(o *server.Options) { o.Port = port })
	p.notice(t, bus.Connected)
	must(t, p.PublishLive("orders", nil, []byte{1}))
	p.next(t)
}

func TestClosedConnection(t *testing.T) {
	p := newParty(t, connect(t, startServer(t, nil).ClientURL()), "n1", nil)
	p.join(t, "orders")
	p.nc.Close()
	p.notice(t, bus.Closed)
	err := p.PublishHeartbeat([]byte{1})
	if !errors.Is(err, bus.ErrOffline) || !errors.Is(err, nats.ErrConnectionClosed) {
		t.Fatalf("got %v", err)
	}
	if err := p.Join("more"); !errors.Is(err, bus.ErrOffline) {
		t.Fatalf("got %v", err)
	}
	must(t, p.Close())
	b, err := bus.New(p.nc, bus.Options{Node: "n1", Deliver: func(bus.Message) {}})
	must(t, err)
	if err := b.Start(); !errors.Is(err, bus.ErrOffline) {
		t.Fatalf("start: %v", err)
	}
	must(t, b.Close())
}

func TestAbandonedBodiesExpire(t *testing.T) {
	n1, n2 := pair(t, nil, func(o *bus.Options) { o.AssemblyTimeout = 20 * time.Millisecond })
	must(t, n1.nc.Publish("replicator.orders.sync.n2.n1", frames(random(1000), 1, 300)[0]))
	eventually(t, "expired", func() bool {
		s := n2.Stats()
		return s.AssembliesExpired == 1 && s.Assemblies == 0
	})
}

func TestConnectOptions(t *testing.T) {
	var log bytes.Buffer
	var o nats.Options
	for _, opt := range bus.ConnectOptions("replicator n1", slog.New(slog.NewTextHandler(&log, nil))) {
		must(t, opt(&o))
	}
	if o.Name != "replicator n1" || o.MaxReconnect != -1 || o.ReconnectBufSize != -1 || !o.RetryOnFailedConnect || !o.IgnoreAuthErrorAbort {
		t.Fatalf("got %+v", o)
	}
	o.AsyncErrorCB(nil, nil, nats.ErrSlowConsumer)
	if log.Len() == 0 {
		t.Error("nothing logged")
	}
	for attempt, limit := range map[int]time.Duration{
		0: 100 * time.Millisecond, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 8: 4 * time.Second, 1 << 40: 4 * time.Second,
	} {
		var longest time.Duration
		for range 200 {
			d := o.CustomReconnectDelayCB(attempt)
			if d < 0 || d >= limit {
				t.Fatalf("attempt %d: %v", attempt, d)
			}
			longest = max(longest, d)
		}
		if longest < limit/2 {
			t.Errorf("attempt %d: never above %v", attempt, longest)
		}
	}
}
