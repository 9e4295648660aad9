package integration_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"replicator/oplog"
)

// An ear keeps what it hears on a server.
type ear struct {
	mu    sync.Mutex // guards heard
	heard []heard
}

type heard struct {
	at      time.Time
	subject string
	body    []byte
	size    int64 // of body and headers
}

func listen(tb testing.TB, url string, subjects ...string) *ear {
	tb.Helper()
	return listenOn(tb, dial(tb, url), subjects...)
}

func listenOn(tb testing.TB, nc *nats.Conn, subjects ...string) *ear {
	tb.Helper()
	e := &ear{}
	for _, subject := range subjects {
		sub, err := nc.Subscribe(subject, e.hear)
		must(tb, err)
		must(tb, sub.SetPendingLimits(-1, -1))
	}
	must(tb, nc.FlushTimeout(patience))
	return e
}

func (e *ear) hear(m *nats.Msg) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, heard{time.Now(), m.Subject, m.Data, int64(m.Size() - len(m.Subject) - len(m.Reply))})
}

// on is what was heard on subjects that begin so.
func (e *ear) on(prefix string) []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []heard
	for _, h := range e.heard {
		if strings.HasPrefix(h.subject, prefix) {
			list = append(list, h)
		}
	}
	return list
}

func (e *ear) subjects() []string {
	var list []string
	for _, h := range e.on("") {
		list = append(list, h.subject)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func bytesOf(list []heard) (sum int64) {
	for _, h := range list {
		sum += h.size
	}
	return sum
}

// beats are the heartbeats of a node, in the order in which they came.
func (e *ear) beats(tb testing.TB, name string) []*oplog.Heartbeat {
	tb.Helper()
	var list []*oplog.Heartbeat
	for _, h := range e.on("replicator._fleet.clock." + name) {
		m, err := oplog.Decode(h.body)
		must(tb, err)
		list = append(list, m.(*oplog.Heartbeat))
	}
	return list
}

// digest is what a node's last heartbeat about the default bucket said.
func (e *ear) digest(tb testing.TB, name string) (last oplog.Digest, ok bool) {
	tb.Helper()
	for _, hb := range e.beats(tb, name) {
		for _, d := range hb.Digests {
			if d.Bucket == "default" {
				last, ok = d, true
			}
		}
	}
	return last, ok
}

// awaitSameDigests waits, without asking anybody, until the heartbeats of two
// nodes say that they are equal.
func (e *ear) awaitSameDigests(tb testing.TB, a, b string) {
	tb.Helper()
	await(tb, patience, "heartbeats agree", func() error {
		da, known := e.digest(tb, a)
		db, both := e.digest(tb, b)
		if !known || !both || !da.Same(db) {
			return fmt.Errorf("%+v and %+v", da, db)
		}
		return nil
	})
}

func TestNoEcho(t *testing.T) {
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	a.put("first", "x")
	b.put("second", "x")
	converged(t, soon, a, b)
	e := listen(t, hub.url(), "replicator.>")
	before := map[string]int64{"a": hub.sent("a"), "b": hub.sent("b")}

	a.load(made("bulk/", 10000, 100))
	const last = "the last"
	a.put(last, "x")
	await(t, patience, "b has all, by its heartbeats", func() error {
		da, _ := e.digest(t, "a")
		db, _ := e.digest(t, "b")
		if da.Clock == 0 || !da.Same(db) || da.Own < 10000 {
			return fmt.Errorf("%+v and %+v", da, db)
		}
		return nil
	})
	byB := hub.sent("b") - before["b"]
	byA := hub.sent("a") - before["a"]
	beats := bytesOf(e.on("replicator._fleet.clock.b"))
	t.Logf("a sent %d bytes, %d of them as live writes; b sent %d bytes, %d of them in %d heartbeats",
		byA, bytesOf(e.on("replicator.default.live.a")), byB, beats, len(e.on("replicator._fleet.clock.b")))
	if rest := byB - beats; rest > byA/100 {
		t.Errorf("b sent %d bytes beside heartbeats, the limit is %d", rest, byA/100)
	}
	if echo := e.on("replicator.default.live.b"); len(echo) > 0 {
		t.Errorf("b published %d live messages though nobody wrote on it", len(echo))
	}
	converged(t, soon, a, b)
}

// What a node costs is counted on its cable, with all that NATS itself says.
func TestIdleCostsLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("two minutes of idling are left out under -short")
	}
	t.Parallel()
	window, gap := 60*time.Second, 20*time.Second
	if long() {
		window, gap = 5*time.Minute, 40*time.Second // of the steady state
	}
	hub := startBroker(t)
	cables := map[string]*proxy{"a": startProxy(t, hub.address()), "b": startProxy(t, hub.address())}
	a := newNode(t, "a", hub.url(), "--server", "nats://"+cables["a"].address()).start()
	b := newNode(t, "b", hub.url(), "--server", "nats://"+cables["b"].address()).start()
	a.put("k", "v")
	converged(t, soon, a, b)
	e := listen(t, hub.url(), "replicator.>")
	await(t, 4*time.Minute, "heartbeats have become rare", func() error { return rare(e, gap, "a", "b") })

	begun, before := time.Now(), len(e.on(""))
	sent, got := map[string]int64{}, map[string]int64{}
	for name, cable := range cables {
		sent[name], got[name] = cable.up.Load(), cable.down.Load()
	}
	await(t, window+patience, "the window is over", func() error {
		if time.Since(begun) < window {
			return errNotYet
		}
		return nil
	})
	aDay := float64(24*time.Hour) / float64(time.Since(begun)) / 1e6
	for name, cable := range cables {
		up, down := float64(cable.up.Load()-sent[name])*aDay, float64(cable.down.Load()-got[name])*aDay
		t.Logf("%s: %.2f MB a day sent, %.2f MB received, measured over %v", name, up, down, window)
		if up >= 1 || (long() && up+down >= 1) {
			t.Errorf("%s costs too much", name)
		}
	}
	for _, h := range e.on("")[before:] {
		if !strings.HasPrefix(h.subject, "replicator._fleet.clock.") {
			t.Errorf("idle nodes spoke on %s", h.subject)
		}
	}
	converged(t, soon, a, b)
}

// rare is content once the last two beats of each node are far apart.
func rare(e *ear, apart time.Duration, names ...string) error {
	for _, name := range names {
		beats := e.on("replicator._fleet.clock." + name)
		if len(beats) < 2 {
			return fmt.Errorf("%d beats of %s", len(beats), name)
		}
		if gap := beats[len(beats)-1].at.Sub(beats[len(beats)-2].at); gap < apart {
			return fmt.Errorf("%v between the last beats of %s", gap, name)
		}
	}
	return nil
}

func TestHandshakeWithNothingMissing(t *testing.T) {
	t.Parallel()
	many := 20_000
	if long() {
		many = 1_000_000
	}
	for _, keys := range []int{10, many} {
		t.Run(fmt.Sprint(keys, " keys"), func(t *testing.T) {
			hub := startBroker(t)
			a := connectedNode(t, "a", hub.url())
			b := connectedNode(t, "b", hub.url())
			a.load(made("some/", keys, 50))
			b.put("of b", "x")
			converged(t, soon, a, b)
			b.stop()

			e := listen(t, hub.url(), "replicator.*.sync.>", "replicator.reply.>", "replicator._fleet.clock.>")
			b.start()
			e.awaitSameDigests(t, "a", "b")
			await(t, patience, "the handshake is over", func() error { return quiet(e, 3*time.Second) })
			requests, replies := e.on("replicator._fleet.sync."), e.on("replicator.reply.")
			if other := len(sessions(e)) - len(requests); len(requests) != 1 || len(replies) != 1 || other != 0 {
				t.Errorf("%d requests, %d replies, %d messages in buckets: %v", len(requests), len(replies), other, e.subjects())
			}
			size := bytesOf(requests) + bytesOf(replies)
			t.Logf("%d bytes together", size)
			if size > 1024 {
				t.Errorf("%d bytes, the limit is 1 KiB", size)
			}
			converged(t, soon, a, b)
		})
	}
}

// sessions are the messages that ask somebody.
func sessions(e *ear) (list []heard) {
	for _, h := range e.on("replicator.") {
		if strings.Split(h.subject, ".")[2] == "sync" {
			list = append(list, h)
		}
	}
	return list
}

// quiet is content once somebody spoke and then nobody for so long, heartbeats
// aside.
func quiet(e *ear, pause time.Duration) error {
	spoken := append(sessions(e), e.on("replicator.reply.")...)
	if len(spoken) == 0 {
		return errors.New("nobody spoke")
	}
	for _, h := range spoken {
		if since := time.Since(h.at); since < pause {
			return fmt.Errorf("%s was heard %v ago", h.subject, since)
		}
	}
	return nil
}
