package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"replicator/bus"
)

func pair(t *testing.T, tuneServer func(*server.Options), tune func(*bus.Options)) (n1, n2 *party) {
	t.Helper()
	url := startServer(t, tuneServer).ClientURL()
	n1 = newParty(t, connect(t, url), "n1", tune)
	n2 = newParty(t, connect(t, url), "n2", tune)
	n1.flush(t)
	n2.flush(t)
	return n1, n2
}

func TestLiveReachesAllWhoJoinedAndTheWriter(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	n1.join(t, "orders")
	n2.join(t, "orders")
	tap, err := n2.nc.SubscribeSync("replicator.orders.live.n1")
	must(t, err)
	n2.flush(t)
	must(t, n1.PublishLive("orders", map[string]string{"Replicator-Origin": "n1", "Replicator-Seq": "1-3"}, []byte{1, 2}))
	for _, p := range []*party{n1, n2} {
		m := p.next(t)
		if m.Kind != bus.KindLive || m.Bucket != "orders" || m.From != "n1" || !bytes.Equal(m.Body, []byte{1, 2}) || m.Reply != "" {
			t.Fatalf("got %+v", m)
		}
	}
	m, err := tap.NextMsg(patience)
	must(t, err)
	if m.Header.Get("Replicator-Seq") != "1-3" {
		t.Fatalf("headers %v", m.Header)
	}
}

func TestHeadersAreRefused(t *testing.T) {
	n1, _ := pair(t, nil, nil)
	for _, h := range []map[string]string{
		{"Nats-Msg-Id": "1"}, {"nats-rollup": "all"}, {"": "x"}, {"A b": "x"}, {"A:": "x"}, {"A": "x\r\nNats-TTL: 1s"},
	} {
		if err := n1.PublishLive("orders", h, nil); !errors.Is(err, bus.ErrBadHeader) {
			t.Errorf("%v: got %v", h, err)
		}
	}
	var large *bus.TooLargeError
	if err := n1.PublishLive("orders", map[string]string{"A": strings.Repeat("x", 600)}, nil); !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	n1, _ := pair(t, nil, nil)
	for name, err := range map[string]error{
		"join":      n1.Join("a.b"),
		"live":      n1.PublishLive("*", nil, nil),
		"event":     n1.PublishEvent("orders", "a.b", nil),
		"bucket":    n1.PublishEvent("reply", "a", nil),
		"responder": n1.SendSync("orders", ">", "1", nil),
		"reply id":  n1.SendSync("orders", "n2", "a.*", nil),
		"sync":      n1.SendSync("_x", "n2", "1", nil),
	} {
		if _, ok := errors.AsType[*bus.NameError](err); !ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, o := range []bus.Options{
		{Deliver: func(bus.Message) {}},
		{Node: "n1"},
		{Node: "live", Deliver: func(bus.Message) {}},
		{Node: "n1", Prefix: "a.>", Deliver: func(bus.Message) {}},
		{Node: "n1", MaxFrame: 10, Deliver: func(bus.Message) {}},
		{Node: "n1", AssemblyBytes: 1 << 20, Deliver: func(bus.Message) {}},
	} {
		if _, err := bus.New(n1.nc, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := bus.New(nil, bus.Options{Node: "n1", Deliver: func(bus.Message) {}}); err == nil {
		t.Error("no connection was taken")
	}
}

func TestHeartbeatsAndEvents(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	tap, err := n2.nc.SubscribeSync(n1.Subjects().EventAll("orders"))
	must(t, err)
	n2.flush(t)
	must(t, n1.PublishHeartbeat([]byte{1, 9}))
	must(t, n1.PublishEvent("orders", "fork", []byte("{}")))
	for _, p := range []*party{n1, n2} {
		if m := p.next(t); m.Kind != bus.KindHeartbeat || m.From != "n1" || m.Bucket != "" || !bytes.Equal(m.Body, []byte{1, 9}) {
			t.Fatalf("got %+v", m)
		}
	}
	m, err := tap.NextMsg(patience)
	must(t, err)
	if m.Subject != "replicator.orders.event.fork.n1" {
		t.Fatal(m.Subject)
	}
	s := n1.Stats()
	if s.Published[bus.KindHeartbeat] != (bus.Traffic{Messages: 1, Bytes: 2}) || s.Published[bus.KindEvent].Messages != 1 ||
		s.Received[bus.KindHeartbeat].Messages != 1 {
		t.Fatalf("got %+v", s)
	}
}

func TestRequestAndAnswerOf16MiB(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	question, answer := random(16<<20), random(16<<20)
	must(t, n1.SendSync(bus.Fleet, "n2", "s7.hello", question))
	m := n2.next(t)
	if m.Kind != bus.KindSync || m.Bucket != bus.Fleet || m.From != "n1" || m.Reply != "replicator.reply.n1.s7.hello" {
		t.Fatalf("got %v %v %v %v", m.Kind, m.Bucket, m.From, m.Reply)
	}
	if !bytes.Equal(m.Body, question) {
		t.Fatal("another question came")
	}
	must(t, n2.Reply(m.Reply, answer))
	m = n1.next(t)
	if m.Kind != bus.KindReply || m.ID != "s7.hello" || m.From != "" || !bytes.Equal(m.Body, answer) {
		t.Fatalf("got %v %v %v, equal %v", m.Kind, m.ID, m.From, bytes.Equal(m.Body, answer))
	}
	if s := n2.Stats(); s.Received[bus.KindSync].Messages < 64 || s.BadFrames != 0 || s.Assemblies != 0 || s.AssemblyBytes != 0 {
		t.Fatalf("got %+v", s)
	}
}

func TestRequestWithoutAnswer(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	must(t, n1.SendSync("orders", "n2", "", []byte{1}))
	if m := n2.next(t); m.Reply != "" || m.Bucket != "orders" {
		t.Fatalf("got %+v", m)
	}
}

func TestNobodyListens(t *testing.T) {
	n1, _ := pair(t, nil, nil)
	must(t, n1.SendSync("orders", "n3", "1f", []byte{1}))
	if m := n1.next(t); !m.NoResponders || m.Kind != bus.KindReply || m.ID != "1f" || len(m.Body) != 0 {
		t.Fatalf("got %+v", m)
	}
}

func TestBodiesAboveTheCapAreRefused(t *testing.T) {
	n1, n2 := pair(t, nil, func(o *bus.Options) { o.MaxBody = 100_000 })
	var large *bus.TooLargeError
	if err := n1.SendSync("orders", "n2", "1", random(100_001)); !errors.As(err, &large) || large.Limit != 100_000 {
		t.Fatalf("got %v", err)
	}
	// Whoever does not keep to it is refused by the receiver.
	for m := range bus.Frames(random(200_000), 1, 64<<10) {
		must(t, n1.nc.Publish("replicator.orders.sync.n2.n1", m))
	}
	eventually(t, "counted", func() bool { return n2.Stats().TooLarge == 4 })
	must(t, n1.SendSync("orders", "n2", "1", random(100_000)))
	if m := n2.next(t); len(m.Body) != 100_000 {
		t.Fatalf("got %d bytes", len(m.Body))
	}
}

func TestSmallMaxPayload(t *testing.T) {
	n1, n2 := pair(t, func(o *server.Options) { o.MaxPayload = 8 << 10 }, nil)
	if got := n1.LiveLimit(); got >= 8<<10 || got < 7<<10 {
		t.Fatalf("limit %d", got)
	}
	n2.join(t, "orders")
	header := map[string]string{"Replicator-Origin": strings.Repeat("x", 200)}
	must(t, n1.PublishLive("orders", header, random(n1.LiveLimit())))
	n2.next(t)
	var large *bus.TooLargeError
	if err := n1.PublishLive("orders", nil, random(n1.LiveLimit()+1)); !errors.As(err, &large) || large.What != "live message" {
		t.Fatalf("got %v", err)
	}
	body := random(1 << 20)
	must(t, n1.SendSync("orders", "n2", "1", body))
	if m := n2.next(t); !bytes.Equal(m.Body, body) {
		t.Fatal("another body came")
	}
}

func TestMaxPayloadTooSmallForFrames(t *testing.T) {
	n1, n2 := pair(t, func(o *server.Options) { o.MaxPayload = 600; o.MaxControlLine = 512 }, nil)
	var large *bus.TooLargeError
	if err := n1.SendSync("orders", "n2", "1", random(1000)); !errors.As(err, &large) || large.What != "frame" {
		t.Fatalf("got %v", err)
	}
	must(t, n1.SendSync("orders", "n2", "1", random(n1.FrameLimit())))
	n2.next(t)
}

func TestLimitsFollowPeersAndFailures(t *testing.T) {
	n1, _ := pair(t, nil, nil)
	expect := func(what string, want int) {
		t.Helper()
		if got := n1.FrameLimit(); got != want {
			t.Fatalf("%s: limit %d, want %d", what, got, want)
		}
	}
	expect("default", 256<<10)
	n1.SetPeerLimit("a", 64<<10)
	n1.SetPeerLimit("b", 128<<10)
	expect("smallest", 64<<10-512)
	n1.SetPeerLimit("a", 1<<20)
	expect("the smallest grew", 128<<10-512)
	n1.SetPeerLimit("a", 32<<10)
	n1.ForgetPeer("a")
	expect("the smallest left", 128<<10-512)
	n1.SetPeerLimit("b", 0)
	expect("all left", 256<<10)
	n1.SetPeerLimit("liar", 1)
	expect("floor of claims", 512)
	n1.ForgetPeer("liar")
	n1.ForgetPeer("nobody")
	for _, want := range []int{128, 64, 32, 16, 16} {
		n1.FrameFailed()
		expect("failed", want<<10)
	}
	n1.SetPeerLimit("b", 8<<10)
	n1.FrameFailed()
	expect("below the floor already", 8<<10-512)
}

func TestForeignRepliesAreDropped(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	foreign := []string{
		"replicator.orders.live.n2", "replicator.reply.n3.x", "replicator.reply.n1", "replicator.reply.n1.",
		"replicator.reply.n11.x", "_INBOX.x", "replicator.reply.n1.>", "replicator.reply.n1.a.*",
	}
	for _, reply := range foreign {
		must(t, n1.nc.PublishRequest("replicator.orders.sync.n2.n1", reply, []byte{1}))
	}
	must(t, n1.SendSync("orders", "n2", "fine", []byte{1, 2}))
	if m := n2.next(t); m.Reply != "replicator.reply.n1.fine" {
		t.Fatalf("got %+v", m)
	}
	if s := n2.Stats(); s.ForeignReplies != uint64(len(foreign)) {
		t.Fatalf("%d of %d counted", s.ForeignReplies, len(foreign))
	}
	for _, to := range append(foreign[4:5:5], "x", "", "other.reply.n1.x", "replicator.reply.n1") {
		err := n2.Reply(to, []byte{1})
		if wanted := to != "replicator.reply.n11.x"; wanted != errors.Is(err, bus.ErrForeignReply) {
			t.Errorf("%q: got %v", to, err)
		}
	}
}

func TestBadSubjectsAndFramesAreCounted(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	n2.join(t, "orders")
	for _, subject := range []string{
		"replicator.orders.live.any", "replicator._fleet.clock.sync", "replicator._x.sync.n2.n1", "replicator.reply.n2.a%",
	} {
		must(t, n1.nc.Publish(subject, []byte{1}))
	}
	list := frames(random(1000), 1, 300)
	must(t, n1.nc.Publish("replicator.reply.n2.a", list[1]))
	eventually(t, "counted", func() bool {
		s := n2.Stats()
		return s.BadSubjects == 4 && s.BadFrames == 1
	})
	if len(n2.got) != 0 {
		t.Fatalf("got %+v", <-n2.got)
	}
}

func TestJoinAndLeave(t *testing.T) {
	n1, n2 := pair(t, nil, nil)
	n2.join(t, "orders")
	n2.join(t, "orders")
	n2.join(t, bus.Fleet)
	n1.join(t, "other")
	must(t, n1.PublishLive("orders", nil, []byte{1, 1}))
	must(t, n1.PublishLive(bus.Fleet, nil, []byte{1, 2}))
	seen := map[string]int{}
	for range 2 {
		seen[n2.next(t).Bucket]++
	}
	if seen["orders"] != 1 || seen[bus.Fleet] != 1 || n2.Stats().Joined != 2 {
		t.Fatalf("seen %v", seen)
	}
	must(t, n2.Leave("orders"))
	must(t, n2.Leave("orders"))
	n2.flush(t)
	must(t, n1.PublishLive("orders", nil, []byte{1, 3}))
	must(t, n1.PublishLive(bus.Fleet, nil, []byte{1, 4}))
	if m := n2.next(t); m.Bucket != bus.Fleet {
		t.Fatalf("got %+v", m)
	}
	n2.join(t, "orders")
	must(t, n1.PublishLive("orders", nil, []byte{1, 5}))
	if m := n2.next(t); !bytes.Equal(m.Body, []byte{1, 5}) {
		t.Fatalf("got %+v", m)
	}
}

func TestBusOutsideItsLife(t *testing.T) {
	nc := connect(t, startServer(t, nil).ClientURL())
	b, err := bus.New(nc, bus.Options{Node: "n1", Deliver: func(bus.Message) {}})
	must(t, err)
	if err := b.Join("orders"); !errors.Is(err, bus.ErrNotStarted) {
		t.Fatalf("join: %v", err)
	}
	must(t, b.PublishHeartbeat(nil))
	must(t, b.Start())
	must(t, b.Start())
	must(t, b.Close())
	must(t, b.Close())
	for name, err := range map[string]error{
		"start": b.Start(), "join": b.Join("orders"), "leave": b.Leave("orders"),
		"publish": b.PublishHeartbeat(nil), "flush": b.Flush(context.Background()),
	} {
		if !errors.Is(err, bus.ErrClosed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if !nc.IsConnected() || nc.NumSubscriptions() != 0 {
		t.Fatal("the connection is not as it was")
	}
	never, err := bus.New(nc, bus.Options{Node: "n1", Deliver: func(bus.Message) {}})
	must(t, err)
	must(t, never.Close())
}

func TestCloseWaitsForDeliver(t *testing.T) {
	var inside atomic.Int64
	h := newHold(t)
	entered := make(chan struct{}, 1)
	n1, n2 := pair(t, nil, func(o *bus.Options) {
		if o.Node != "n2" {
			return
		}
		o.Deliver = func(bus.Message) {
			inside.Add(1)
			entered <- struct{}{}
			<-h.ch
			inside.Add(-1)
		}
	})
	must(t, n1.SendSync("orders", "n2", "", []byte{1}))
	receive(t, entered)
	must(t, n1.SendSync("orders", "n2", "", []byte{1}))
	done := make(chan error, 1)
	go func() { done <- n2.Close() }()
	eventually(t, "closing", func() bool { return errors.Is(n2.PublishHeartbeat(nil), bus.ErrClosed) })
	select {
	case err := <-done:
		t.Fatalf("closed while delivering: %v", err)
	default:
	}
	h.release()
	must(t, receive(t, done))
	if inside.Load() != 0 || len(entered) != 0 {
		t.Fatal("delivered after Close")
	}
}

func TestManyBodiesAtOnce(t *testing.T) {
	n1, n2 := pair(t, nil, func(o *bus.Options) { o.MaxFrame = 4 << 10 })
	const many = 4 // one source may have four open
	bodies := make(map[string][]byte)
	errs := make(chan error, many)
	for i := range many {
		body := append([]byte{1, byte(i)}, random(500_000)...)
		bodies[string(body[:2])] = body
		go func() { errs <- n1.SendSync("orders", "n2", fmt.Sprint("s", i), body) }()
	}
	for range many {
		must(t, receive(t, errs))
	}
	for range many {
		m := n2.next(t)
		if want := bodies[string(m.Body[:2])]; !bytes.Equal(m.Body, want) || m.Reply != fmt.Sprintf("replicator.reply.n1.s%d", m.Body[1]) {
			t.Fatalf("body %d, reply %s", m.Body[1], m.Reply)
		}
	}
}

func TestTwoPrefixesDoNotMeet(t *testing.T) {
	url := startServer(t, nil).ClientURL()
	a := newParty(t, connect(t, url), "n1", func(o *bus.Options) { o.Prefix = "acme.kv" })
	b := newParty(t, connect(t, url), "n1", nil)
	a.join(t, "orders")
	b.join(t, "orders")
	must(t, b.PublishLive("orders", nil, []byte{1, 1}))
	b.flush(t)
	must(t, a.PublishLive("orders", nil, []byte{1, 2}))
	if m := a.next(t); m.Subject != "acme.kv.orders.live.n1" || !bytes.Equal(m.Body, []byte{1, 2}) {
		t.Fatalf("got %+v", m)
	}
}

func TestErrorHandlerIsPutBack(t *testing.T) {
	called := make(chan string, 8)
	named := func(name string) nats.ErrHandler {
		return func(*nats.Conn, *nats.Subscription, error) { called <- name }
	}
	nc := connect(t, startServer(t, nil).ClientURL(), nats.ErrorHandler(named("first")))
	call := func(want string) {
		t.Helper()
		nc.ErrorHandler()(nc, nil, errors.New("any"))
		if got := receive(t, called); got != want || len(called) != 0 {
			t.Fatalf("%s was called", got)
		}
	}
	p := newParty(t, nc, "n1", nil)
	call("first")
	must(t, p.Close())
	call("first")
	// A handler that came later is not the bus's to take away.
	p = newParty(t, nc, "n1", nil)
	nc.SetErrorHandler(named("later"))
	must(t, p.Close())
	call("later")
}
