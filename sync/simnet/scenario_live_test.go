package simnet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// TestScenario01LiveGapNoJump: seq 1 is lost and 2 comes. The clock stays 0
// until a pull has brought both.
func TestScenario01LiveGapNoJump(t *testing.T) {
	s := newScene(t, 2)
	first, pulls := true, false
	s.drops(func(_, to int, m oplog.Message) bool {
		if live, ok := m.(*oplog.Live); ok && to == b && live.First == 1 {
			lose := first
			first = false
			return lose
		}
		return only[*oplog.Pull](m) && !pulls
	})
	s.put(a, "lost", "1")
	s.put(a, "next", "2")
	s.Run(time.Second)
	if first || s.seq(b, a) != 0 || s.value(b, "next") != "-" {
		t.Fatalf("after a gap: clock %d, the write behind it is %q", s.seq(b, a), s.value(b, "next"))
	}
	s.holds()
	pulls = true
	s.settles()
	if s.value(b, "lost") != "1" || s.value(b, "next") != "2" {
		t.Error("the pull did not fill the gap")
	}
}

// TestScenario02LiveBatchOverlap: at clock 5 a message of 4 to 9 comes. 6 to 9
// are taken.
func TestScenario02LiveBatchOverlap(t *testing.T) {
	s := newScene(t, 2)
	var batch *oplog.Live
	var arrives func()
	s.taps(func(_, to int, m oplog.Message, deliver func()) {
		live, ok := m.(*oplog.Live)
		if !ok || to != b || live.First < 4 {
			deliver()
			return
		}
		if batch == nil {
			batch = &oplog.Live{Bucket: live.Bucket, Origin: live.Origin, Nonce: live.Nonce, First: live.First}
		}
		batch.Entries, batch.Last = append(batch.Entries, live.Entries...), live.Last
		if live.First == 5 || live.First == 4 {
			deliver()
			return
		}
		arrives = func() { *live = *batch; deliver() }
	})
	for i := range 9 {
		s.put(a, fmt.Sprint("k", i+1), "v")
	}
	if s.seq(b, a) != 5 || batch == nil || batch.First != 4 || batch.Last != 9 {
		t.Fatalf("clock %d before %+v", s.seq(b, a), batch)
	}
	arrives()
	s.Run(50 * time.Millisecond) // no pull can end in that time
	if s.seq(b, a) != 9 {
		t.Errorf("clock %d, want 9", s.seq(b, a))
	}
	for i := range 9 {
		if s.value(b, fmt.Sprint("k", i+1)) != "v" {
			t.Errorf("k%d is missing", i+1)
		}
	}
	s.settles()
}

// TestScenario03LiveDupReorder: 1 to 20 arrive in any order, each twice.
func TestScenario03LiveDupReorder(t *testing.T) {
	for seed := range uint64(20) {
		s := newScene(t, 2)
		var waiting []func()
		s.taps(func(_, _ int, m oplog.Message, deliver func()) {
			switch m.(type) {
			case *oplog.Live:
				waiting = append(waiting, deliver, deliver)
			case *oplog.Pull: // the live messages alone have to do
			default:
				deliver()
			}
		})
		for i := range 20 {
			s.put(a, fmt.Sprint("k", i%7), fmt.Sprint(i))
		}
		rnd := rand.New(rand.NewPCG(seed, 3))
		rnd.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
		for _, deliver := range waiting {
			deliver()
			s.Run(time.Duration(rnd.IntN(8)) * time.Millisecond)
			s.holds()
		}
		s.Run(50 * time.Millisecond)
		if len(waiting) != 40 || s.seq(b, a) != 20 {
			t.Fatalf("seed %d: clock %d after %d messages", seed, s.seq(b, a), len(waiting))
		}
		if one, other := s.bucket(a).Digest(), s.bucket(b).Digest(); !one.Same(other) {
			t.Errorf("seed %d: %+v and %+v", seed, one, other)
		}
		s.settles()
	}
}

// TestScenario14OriginCrashNoSync: a hundred writes are not on disk when the
// power fails. Nobody has any of them, and no name is used twice.
func TestScenario14OriginCrashNoSync(t *testing.T) {
	s := newScene(t, 2)
	s.put(a, "before", "1")
	origin := s.bucket(a).Origin()
	s.Node(a).Brake(time.Hour)
	for i := range 100 {
		s.Node(a).Write("orders", store.Op{Key: fmt.Appendf(nil, "unsynced-%d", i), Value: []byte("v")})
	}
	s.Run(10 * time.Second)
	if n := s.bucket(b).Keys(); n != 1 || s.bucket(b).Seq(origin) != 1 {
		t.Fatalf("%d keys at the peer, clock %d", n, s.bucket(b).Seq(origin))
	}
	s.Node(a).Crash()
	s.Node(a).Start()
	for i := range 100 { // a dot that is issued twice fails the world
		s.put(a, fmt.Sprint("unsynced-", i), "again")
	}
	if s.bucket(a).Origin() == origin {
		t.Error("the start goes on under the origin of the one before")
	}
	s.settles()
}

// TestScenario15PublishWaitsFsync: while a sync stalls nothing of the write is
// on the wire, neither live nor in a pull.
func TestScenario15PublishWaitsFsync(t *testing.T) {
	s := newScene(t, 2)
	s.drops(noLive)
	s.put(a, "missing", "1") // so that there is something to pull
	s.Tap = nil
	s.Node(a).Brake(20 * time.Second)
	s.Node(a).Write("orders", store.Op{Key: []byte("k"), Value: []byte("v")})
	told := 0
	s.taps(func(from, _ int, m oplog.Message, deliver func()) {
		if from == a && tells(m, s.bucket(a).Origin(), 2) {
			told++
			if s.bucket(a).DurableSeq() < 2 {
				t.Errorf("%s tells of a write that is not on disk", oplog.KindOf(m))
			}
		}
		deliver()
	})
	s.Run(1900 * time.Millisecond)
	if told > 0 || s.bucket(a).DurableSeq() != 1 {
		t.Fatalf("%d messages tell of the write, on disk is %d", told, s.bucket(a).DurableSeq())
	}
	s.within(30*time.Second, "the write arrives", func() bool { return s.value(b, "k") == "v" })
	if told == 0 {
		t.Error("nothing told of the write")
	}
	s.holds()
	s.settles()
}

// tells reports whether m tells of a write.
func tells(m oplog.Message, o oplog.Origin, seq oplog.Seq) bool {
	named := func(e oplog.Entry) bool { return e.Stamp.Origin == o && e.Stamp.Seq >= seq }
	digest := func(d oplog.Digest) bool { return d.Epoch == o.Epoch && d.Own >= seq }
	switch m := m.(type) {
	case *oplog.Live:
		return m.Origin == o && m.Last >= seq
	case *oplog.Page:
		return slices.ContainsFunc(m.Entries, named)
	case *oplog.Begin:
		return m.Clock[o] >= seq
	case *oplog.Heartbeat:
		return slices.ContainsFunc(m.Digests, digest)
	case *oplog.Hello:
		return slices.ContainsFunc(m.Digests, digest)
	case *oplog.HelloReply:
		return slices.ContainsFunc(m.Digests, digest)
	}
	return false
}

// TestScenario47OverflowCatchUp: 64 writers outrun a peer, its buffers
// overflow. It catches up by pulls, is live again, and nothing is lost.
func TestScenario47OverflowCatchUp(t *testing.T) {
	s := newScene(t, 2, func(o *syncer.Options) { o.GapBuffer, o.ApplyBuffer = 16<<10, 16<<10 })
	s.Node(b).Brake(2 * time.Second)
	for round := range 40 {
		for writer := range 64 {
			s.Node(a).Write("orders", store.Op{Key: fmt.Appendf(nil, "%d-%d", writer, round), Value: make([]byte, 100)})
		}
		s.Run(5 * time.Millisecond)
	}
	if s.Stats.Count[simnet.Overflows] == 0 || !s.Node(b).Engine().Bucket("orders").CatchingUp {
		t.Fatal("no overflow")
	}
	s.settles()
	if s.bucket(b).Keys() != 64*40 {
		t.Errorf("%d keys", s.bucket(b).Keys())
	}
	s.within(5*time.Second, "it follows live again", func() bool { return !s.Node(b).Engine().Bucket("orders").CatchingUp })
	raised := func(k syncer.EventKind) bool {
		return slices.ContainsFunc(s.Node(b).Events(), func(r syncer.Raise) bool { return r.Kind == k })
	}
	if !raised(syncer.EventCatchingUp) || !raised(syncer.EventCaughtUp) {
		t.Errorf("events %v", s.Node(b).Events())
	}
	s.drops(func(_, _ int, m oplog.Message) bool { return only[*oplog.Pull](m) })
	s.put(a, "live", "again")
	if s.value(b, "live") != "again" {
		t.Error("the next write does not come live")
	}
}

// TestScenario48AnnounceLarge: a value of 5 MiB is announced and pulled. The
// clock moves only then.
func TestScenario48AnnounceLarge(t *testing.T) {
	s := newScene(t, 2)
	announced, pages := 0, 0
	s.taps(func(_, to int, m oplog.Message, deliver func()) {
		if m, ok := m.(*oplog.Live); ok && m.Announced() && len(m.Entries) == 0 {
			announced++
		}
		if page, ok := m.(*oplog.Page); ok {
			pages += len(page.Entries)
		}
		if to == b && s.seq(b, a) != 0 {
			t.Errorf("the clock moved before the end of the pull, at a %s", oplog.KindOf(m))
		}
		deliver()
	})
	s.Node(a).Write("orders", store.Op{Key: []byte("large"), Value: make([]byte, 5<<20)})
	s.within(2*time.Second, "the value arrives", func() bool { return s.seq(b, a) == 1 })
	if announced != 1 || pages != 1 || len(s.value(b, "large")) != 5<<20 {
		t.Errorf("%d announcements, %d rows in pages, %d bytes", announced, pages, len(s.value(b, "large")))
	}
	s.settles()
}
