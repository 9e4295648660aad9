package deploy_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"replicator/embedded"
)

const (
	patience = 20 * time.Second
	password = "test-only"
)

func TestEveryNATSConfigStarts(t *testing.T) {
	files, err := filepath.Glob("nats/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("nats/*.conf: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { startHub(t, file) })
	}
}

func TestLeafsOfHubMeet(t *testing.T) {
	hub := startHub(t, "nats/hub.conf")
	t.Setenv("HUB_URL", hub.leafURL("site"))
	south := startLeaf(t, embedded.Options{Name: "south", ConfigFile: "nats/leaf.conf"})
	north := startLeaf(t, embedded.Options{Name: "north", Join: []string{hub.leafURL("site")}})

	awaitPassing(t, south, north, "replicator.orders.live.south")
	awaitPassing(t, north, south, "replicator.orders.live.north")
	awaitPassing(t, south, hub.connect(t, "site"), "replicator.orders.live.south")
}

func TestPermissions(t *testing.T) {
	hub := startHub(t, "nats/permissions.conf")
	for _, tc := range []struct {
		user           string
		publish        []string
		notPublish     []string
		subscribe      []string
		notSubscribe   []string
		subscribeQuirk string // admitted though nothing is ever published there
	}{
		{
			user: "n1",
			publish: []string{
				"replicator.orders.live.n1", "replicator._fleet.clock.n1", "replicator._fleet.sync.n2.n1",
				"replicator.orders.sync.n2.n1", "replicator.orders.event.fork.n1", "replicator.reply.n2.7.1",
				"replicator.apireply.reader.x", "replicator.orders.api.n2.reached",
			},
			notPublish: []string{
				"replicator.orders.live.n2", "replicator._fleet.clock.n2", "replicator.orders.clock.n1",
				"replicator.orders.sync.n2.n3", "replicator.orders.event.fork.n2", "replicator.orders.api.n2.put",
				"replicator.orders.live.n1.below", "_INBOX.x", "$SRV.PING", "elsewhere",
			},
			subscribe: []string{
				"replicator.*.live.*", "replicator.orders.live.*", "replicator._fleet.clock.*", "replicator.*.sync.n1.*",
				"replicator.reply.n1.>", "replicator.apireply.n1.x.*", "replicator.*.api.n1.get", "replicator.*.api.any.get",
				"$SRV.PING", "$SRV.INFO.replicator", "$SRV.STATS.replicator.id",
			},
			notSubscribe: []string{
				"replicator.*.sync.n2.*", "replicator.*.sync.*.*", "replicator.reply.n2.>", "replicator.reply.>",
				"replicator.*.api.n2.get", "replicator.apireply.>", "replicator.apireply.n2.x.*", "replicator.>", ">", "$SYS.>", "_INBOX.x",
			},
			subscribeQuirk: "replicator.*.live.>",
		},
		{
			user:         "reader",
			publish:      []string{"replicator.orders.api.n1.get", "replicator.orders.api.any.mget", "replicator.orders.api.n1.reached", "replicator.orders.api.n1.held", "replicator.orders.api.any.ls", "$SRV.PING", "$SRV.INFO.replicator"},
			notPublish:   []string{"replicator.orders.api.n1.put", "replicator.orders.api.n1.verify", "replicator.orders.live.n1", "replicator.orders.sync.n1.reader", "replicator.apireply.writer.x"},
			subscribe:    []string{"replicator.apireply.reader.*"},
			notSubscribe: []string{"replicator.apireply.writer.*", "replicator.apireply.>", "replicator.*.live.*", "replicator.*.api.any.get"},
		},
		{
			user:         "writer",
			publish:      []string{"replicator.orders.api.n1.get", "replicator.orders.api.n1.put", "replicator.orders.api.n1.create", "replicator.orders.api.n1.update", "replicator.orders.api.n1.delprefix", "replicator.orders.api.any.del"},
			notPublish:   []string{"replicator.orders.api.n1.drop", "replicator._fleet.api.n1.forget", "replicator.orders.live.n1", "replicator.reply.n1.x"},
			subscribe:    []string{"replicator.apireply.writer.*"},
			notSubscribe: []string{"replicator.apireply.reader.*", "replicator.*.live.*"},
		},
		{
			user:         "operator",
			publish:      []string{"replicator._fleet.api.n1.forget", "replicator.orders.api.n1.verify", "replicator.orders.api.n1.put", "$SRV.STATS.replicator.id"},
			notPublish:   []string{"replicator.orders.live.n1", "replicator._fleet.clock.n1", "replicator.orders.sync.n1.operator", "replicator.reply.n1.x"},
			subscribe:    []string{"replicator.apireply.operator.*", "replicator.*.event.*.*"},
			notSubscribe: []string{"replicator.apireply.reader.*", "replicator.*.api.n1.get"},
		},
		{
			user:         "tap",
			notPublish:   []string{"replicator.orders.live.tap", "replicator.orders.api.n1.get", "replicator._fleet.clock.tap", "x"},
			subscribe:    []string{"replicator.*.live.*", "replicator._fleet.clock.*", "replicator.*.event.*.*"},
			notSubscribe: []string{"replicator.reply.n1.>", "replicator.*.sync.n1.*", "replicator.apireply.>", ">"},
		},
	} {
		t.Run(tc.user, func(t *testing.T) {
			for _, subject := range tc.publish {
				hub.expect(t, tc.user, "publish", subject, true)
			}
			for _, subject := range tc.notPublish {
				hub.expect(t, tc.user, "publish", subject, false)
			}
			for _, subject := range tc.subscribe {
				hub.expect(t, tc.user, "subscribe", subject, true)
			}
			for _, subject := range tc.notSubscribe {
				hub.expect(t, tc.user, "subscribe", subject, false)
			}
			if tc.subscribeQuirk != "" {
				hub.expect(t, tc.user, "subscribe", tc.subscribeQuirk, true)
			}
		})
	}
}

func TestClientIsAnsweredInItsOwnInbox(t *testing.T) {
	hub := startHub(t, "nats/permissions.conf")
	node := hub.connect(t, "n1")
	if _, err := node.Subscribe("replicator.*.api.n1.get", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := node.Flush(); err != nil {
		t.Fatal(err)
	}

	reader := hub.connect(t, "reader", nats.CustomInboxPrefix("replicator.apireply.reader"))
	reply, err := reader.Request("replicator.orders.api.n1.get", []byte("key"), patience)
	if err != nil || string(reply.Data) != "key" {
		t.Errorf("answer = %v, %v", reply, err)
	}
}

// A leaf node comes as the user of its node, and is held to that user's rights.
func TestLeafCannotSpeakForOthers(t *testing.T) {
	hub := startHub(t, "nats/permissions.conf")
	tap := hub.connect(t, "tap")
	heard, err := tap.SubscribeSync("replicator.*.live.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.Flush(); err != nil {
		t.Fatal(err)
	}
	site := startLeaf(t, embedded.Options{Name: "n1", Join: []string{hub.leafURL("n1")}})
	awaitPassing(t, site, hub.connect(t, "n2"), "replicator.orders.live.n1")

	for _, subject := range []string{"replicator.orders.live.n2", "replicator.last.live.n1"} {
		if err := site.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for {
		m, err := heard.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		switch m.Subject {
		case "replicator.orders.live.n2":
			t.Fatal("the leaf of n1 wrote in the name of n2")
		case "replicator.last.live.n1":
			return
		}
	}
}

// A hub is a server started from one of our files, on other ports.
type hub struct{ srv *server.Server }

func startHub(tb testing.TB, file string) hub {
	tb.Helper()
	for _, name := range []string{"SITE", "SYS", "N1", "N2", "READER", "WRITER", "OPERATOR", "TAP"} {
		tb.Setenv(name+"_PASSWORD", password)
	}
	tb.Setenv("HUB_URL", "nats-leaf://site:"+password+"@127.0.0.1:1")
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
	if opts.LeafNode.Port != 0 {
		opts.LeafNode.Host, opts.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	}
	if opts.HTTPPort != 0 {
		opts.HTTPPort = server.RANDOM_PORT
	}
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	if err != nil {
		tb.Fatal(err)
	}
	srv.Start()
	tb.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		tb.Fatalf("%s: not ready", file)
	}
	return hub{srv}
}

func (h hub) leafURL(user string) string {
	varz, err := h.srv.Varz(nil)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("nats-leaf://%s:%s@127.0.0.1:%d", user, password, varz.LeafNode.Port)
}

func (h hub) connect(tb testing.TB, user string, opts ...nats.Option) *nats.Conn {
	tb.Helper()
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	nc, err := nats.Connect(h.srv.ClientURL(), append(opts, nats.UserInfo(user, password), quiet)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// expect tries on a connection of its own. The server sends its refusal ahead
// of the answer to Flush, so none by then means allowed.
func (h hub) expect(tb testing.TB, user, deed, subject string, allowed bool) {
	tb.Helper()
	nc := h.connect(tb, user)
	defer nc.Close()
	var err error
	if deed == "publish" {
		err = nc.Publish(subject, nil)
	} else {
		_, err = nc.SubscribeSync(subject)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		tb.Fatal(err)
	}
	denied := errors.Is(nc.LastError(), nats.ErrPermissionViolation)
	if denied == allowed {
		tb.Errorf("%s may %s %s: %t, want %t", user, deed, subject, !denied, allowed)
	}
}

func startLeaf(tb testing.TB, o embedded.Options) *nats.Conn {
	tb.Helper()
	o.Listen, o.LameDuck = "127.0.0.1:0", -1
	s, err := embedded.Start(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Shutdown(tb.Context()) })
	nc, err := s.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// awaitPassing publishes until a message arrives: links and interest take a
// moment.
func awaitPassing(tb testing.TB, from, to *nats.Conn, subject string) {
	tb.Helper()
	sub, err := to.SubscribeSync(subject)
	if err != nil {
		tb.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the test has what it wanted
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err := from.Publish(subject, []byte("hello")); err != nil {
			tb.Fatal(err)
		}
		if _, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			return
		}
	}
	tb.Fatalf("nothing came through on %s", subject)
}
