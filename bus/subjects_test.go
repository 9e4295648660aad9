package bus_test

import (
	"errors"
	"strings"
	"testing"

	"replicator/bus"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		check func(string) error
		what  string
		good  []string
		bad   []string
	}{
		{
			bus.ValidNode, "node",
			[]string{"n1", "A-b_9", long, "reply", "_fleet", "-"},
			[]string{"", long + "a", "a.b", "*", ">", "a b", "ä", "any", "live", "clock", "sync", "api", "event", "a\n"},
		},
		{
			bus.ValidBucket, "bucket",
			[]string{"orders", "live", "any", long, "a_b"},
			[]string{"", long + "a", "a.b", "*", "reply", "apireply", "_fleet", "_x", "$JS"},
		},
		{
			bus.ValidPrefix, "prefix",
			[]string{"replicator", "acme.kv", "a-b.c_d.1", "x$"},
			[]string{"", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "$SYS", "_INBOX", "_INBOX.x", "a\t", strings.Repeat("a", 129)},
		},
	} {
		for _, name := range c.good {
			if err := c.check(name); err != nil {
				t.Errorf("%s %q: %v", c.what, name, err)
			}
		}
		for _, name := range c.bad {
			var ne *bus.NameError
			if err := c.check(name); !errors.As(err, &ne) || ne.What != c.what || ne.Name != name || ne.Rule == "" {
				t.Errorf("%s %q: got %v, want a NameError", c.what, name, err)
			}
		}
	}
}

func TestSubjectsReadAsInTheProtocol(t *testing.T) {
	s := bus.Subjects{}
	for want, got := range map[string]string{
		"replicator.orders.live.n1":     s.Live("orders", "n1"),
		"replicator.orders.live.*":      s.LiveAll("orders"),
		"replicator._fleet.clock.n1":    s.Heartbeat("n1"),
		"replicator._fleet.clock.*":     s.HeartbeatAll(),
		"replicator.orders.sync.n1.n2":  s.Sync("orders", "n1", "n2"),
		"replicator.*.sync.n1.*":        s.SyncTo("n1"),
		"replicator.reply.n1.s.1":       s.Reply("n1", "s.1"),
		"replicator.reply.n1.>":         s.ReplyAll("n1"),
		"replicator.orders.api.any.get": s.API("orders", "any", "get"),
		"replicator.*.api.n1.get":       s.APIAll("n1", "get"),
		"replicator.apireply.c1":        s.APIReply("c1"),
		"replicator.orders.event.f.n1":  s.Event("orders", "f", "n1"),
		"replicator.orders.event.*.*":   s.EventAll("orders"),
		"a.b.orders.live.n1":            bus.Subjects{Prefix: "a.b"}.Live("orders", "n1"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParseGivesBackWhatWasBuilt(t *testing.T) {
	for _, s := range []bus.Subjects{{}, {Prefix: "acme.kv"}} {
		if b, n, ok := s.ParseLive(s.Live(bus.Fleet, "n1")); !ok || b != bus.Fleet || n != "n1" {
			t.Error("live", b, n, ok)
		}
		if n, ok := s.ParseHeartbeat(s.Heartbeat("n1")); !ok || n != "n1" {
			t.Error("heartbeat", n, ok)
		}
		if b, r, q, ok := s.ParseSync(s.Sync("orders", "n1", "n2")); !ok || b != "orders" || r != "n1" || q != "n2" {
			t.Error("sync", b, r, q, ok)
		}
		if n, id, ok := s.ParseReply(s.Reply("n1", "s.1.2")); !ok || n != "n1" || id != "s.1.2" {
			t.Error("reply", n, id, ok)
		}
		if b, n, v, ok := s.ParseAPI(s.API("orders", "any", "get")); !ok || b != "orders" || n != "any" || v != "get" {
			t.Error("api", b, n, v, ok)
		}
		if b, k, n, ok := s.ParseEvent(s.Event("orders", "fork", "n1")); !ok || b != "orders" || k != "fork" || n != "n1" {
			t.Error("event", b, k, n, ok)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	s := bus.Subjects{}
	parsers := map[string]func(string) bool{
		"live":  func(x string) bool { _, _, ok := s.ParseLive(x); return ok },
		"clock": func(x string) bool { _, ok := s.ParseHeartbeat(x); return ok },
		"sync":  func(x string) bool { _, _, _, ok := s.ParseSync(x); return ok },
		"reply": func(x string) bool { _, _, ok := s.ParseReply(x); return ok },
		"api":   func(x string) bool { _, _, _, ok := s.ParseAPI(x); return ok },
		"event": func(x string) bool { _, _, _, ok := s.ParseEvent(x); return ok },
	}
	for _, subject := range []string{
		"", "replicator", "replicator.", "replicatororders.live.n1", "other.orders.live.n1",
		"replicator.orders.live", "replicator.orders.live.", "replicator.orders.live.n1.deep", "replicator.orders.live.*",
		"replicator.reply.live.n1.x", "replicator._other.live.n1", "replicator.orders.live.any",
		"replicator.orders.clock.n1", "replicator._fleet.clock.any",
		"replicator.orders.sync.n1", "replicator.orders.sync.n1.n2.n3", "replicator.*.sync.n1.n2",
		"replicator.reply.n1", "replicator.reply.n1.", "replicator.reply.n1.a..b", "replicator.reply.n1.>", "replicator.reply.api.x",
		"replicator.orders.api.live.get", "replicator.orders.api.n1.", "replicator.orders.event..n1",
	} {
		for name, parse := range parsers {
			if parse(subject) {
				t.Errorf("%s took %q", name, subject)
			}
		}
	}
}
