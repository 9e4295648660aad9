package simnet_test

import (
	"fmt"
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// lacks makes a fleet of two in which a has n keys, of which nothing has come to
// b yet.
func lacks(t *testing.T, n int, tune ...func(*syncer.Options)) *scene {
	t.Helper()
	s := newScene(t, 2, tune...)
	s.drops(func(_, to int, m oplog.Message) bool { return to == b && only[*oplog.Live](m) })
	for i := range n {
		s.put(a, fmt.Sprintf("k%02d", i), "v")
	}
	if s.seq(b, a) != 0 {
		t.Fatal("the pull has begun already")
	}
	return s
}

// TestScenario04SnapshotCutEverywhere: a stream of n rows is cut after each of
// them, in both orders. The clock has not moved, Cover holds, and the next pull
// completes.
func TestScenario04SnapshotCutEverywhere(t *testing.T) {
	const n = 6
	for order, tune := range map[string]func(*syncer.Options){"by log": func(*syncer.Options) {}, "by key": byKey} {
		for cut := range n + 1 {
			t.Run(fmt.Sprint(order, " cut ", cut), func(t *testing.T) {
				s := lacks(t, n, rowsAPage, tune)
				pages, done := 0, false
				s.drops(func(from, _ int, m oplog.Message) bool {
					if only[*oplog.Page](m) && from == a && pages < cut {
						pages++
						return false
					}
					cuts := only[*oplog.Page](m) || only[*oplog.End](m)
					done = done || cuts
					return cuts || done && only[*oplog.Pull](m)
				})
				s.within(10*time.Second, "the stream is cut", func() bool { return done })
				s.Run(100 * time.Millisecond)
				if s.seq(b, a) != 0 || s.bucket(b).Keys() != uint64(cut) {
					t.Errorf("clock %d, %d rows", s.seq(b, a), s.bucket(b).Keys())
				}
				s.holds()
				s.settles()
			})
		}
	}
}

// TestScenario05EarlyAdvanceGuard: a's first write is overwritten by b's, and a
// pull from b ends behind the rows of a. Its clock must not be that of a, which
// has the first write.
func TestScenario05EarlyAdvanceGuard(t *testing.T) {
	s := newScene(t, 3, rowsAPage)
	s.drops(func(_, to int, m oplog.Message) bool { return to == c && only[*oplog.Live](m) })
	s.put(a, "k", "from a")
	s.put(a, "other", "1")
	took := false
	s.drops(func(from, to int, m oplog.Message) bool {
		switch page, isPage := m.(*oplog.Page); {
		case only[*oplog.Live](m):
			return true
		case to == a || from == a:
			return true
		case isPage && page.Entries[0].Stamp.Origin.Node == "a":
			took = true
			return false
		}
		return took
	})
	s.put(b, "k", "from b")
	s.within(20*time.Second, "the rows of a arrive", func() bool { return took })
	s.Run(100 * time.Millisecond)
	if s.value(c, "other") != "1" || s.value(c, "k") != "-" {
		t.Fatalf("other is %q, k is %q", s.value(c, "other"), s.value(c, "k"))
	}
	if s.bucket(c).Clock().Equal(s.bucket(a).Clock()) {
		t.Error("equal clocks for unequal rows")
	}
	s.holds()
	s.settles()
}

// TestScenario06VectorFromSnapshot: the donor goes on writing while it takes a
// snapshot and streams it. The puller claims what was in the snapshot.
func TestScenario06VectorFromSnapshot(t *testing.T) {
	s := lacks(t, 5)
	asked, streamed := false, oplog.Seq(0)
	s.drops(func(_, to int, m oplog.Message) bool {
		if page, ok := m.(*oplog.Page); ok && to == b {
			streamed = max(streamed, page.Entries[len(page.Entries)-1].Stamp.Seq)
		}
		again := only[*oplog.Pull](m) && asked
		asked = asked || only[*oplog.Pull](m)
		return only[*oplog.Live](m) || again
	})
	s.within(10*time.Second, "a pull begins", func() bool { return asked })
	for i := range 200 {
		s.Node(a).Write("orders", store.Op{Key: fmt.Append(nil, "new", i), Value: []byte("v")})
		s.Run(100 * time.Microsecond)
		s.holds()
	}
	if s.seq(b, a) < 5 || s.seq(b, a) != streamed || s.seq(b, a) == s.seq(a, a) {
		t.Errorf("clock %d after a stream up to %d; the donor has %d", s.seq(b, a), streamed, s.seq(a, a))
	}
	s.settles()
}

// TestScenario07JoinNotAssign: 8 comes live during a pull from a donor that has
// 6. The clock ends at 8.
func TestScenario07JoinNotAssign(t *testing.T) {
	s := newScene(t, 3)
	for i := range 5 {
		s.put(a, fmt.Sprint("k", i+1), "v")
	}
	late := map[oplog.Seq]func(){}
	var end func()
	s.taps(func(from, to int, m oplog.Message, deliver func()) {
		live, isLive := m.(*oplog.Live)
		switch {
		case from == a && to == c && isLive:
			late[live.First] = deliver
		case from == a && to == b && isLive && live.First == 6:
			deliver()
		case isLive, from == a, to == a: // b has no more than 6, c hears of b only
		case only[*oplog.End](m) && end == nil:
			end = deliver
		default:
			deliver()
		}
	})
	s.put(a, "k6", "v")
	s.put(b, "other", "v")
	s.within(10*time.Second, "a pull comes to its end", func() bool { return end != nil })
	s.put(a, "k7", "v")
	s.put(a, "k8", "v")
	for seq := oplog.Seq(6); seq <= 8; seq++ {
		late[seq]()
		s.Run(10 * time.Millisecond)
	}
	if s.seq(c, a) != 8 {
		t.Fatalf("clock %d before the end", s.seq(c, a))
	}
	end()
	s.Run(10 * time.Millisecond)
	if s.seq(c, a) != 8 || s.seq(c, b) != 1 {
		t.Errorf("clock %d and %d after the end", s.seq(c, a), s.seq(c, b))
	}
	s.holds()
	s.settles()
}

// TestScenario08LessUpToDatePeer: the donor is behind but for one origin. Only
// that one moves.
func TestScenario08LessUpToDatePeer(t *testing.T) {
	s := newScene(t, 3)
	s.put(a, "k1", "v")
	s.drops(func(from, to int, m oplog.Message) bool {
		return from == b && only[*oplog.Live](m) || from == a && to == b || to == a && from == b || to == b && only[*oplog.Page](m)
	})
	for i := range 4 {
		s.put(a, fmt.Sprint("k", i+2), "v")
	}
	s.put(b, "other", "v")
	if s.seq(b, a) != 1 || s.seq(c, a) != 5 || s.seq(c, b) != 0 {
		t.Fatalf("the donor has %d, the puller %d and %d", s.seq(b, a), s.seq(c, a), s.seq(c, b))
	}
	s.within(10*time.Second, "the pull ends", func() bool { return s.seq(c, b) == 1 })
	if s.seq(c, a) != 5 {
		t.Errorf("the clock went to %d", s.seq(c, a))
	}
	s.holds()
	s.settles()
}

// holed makes a fleet in which b holds a's write 9 and not 8, the disk of a is
// out of reach, and c has neither.
func holed(t *testing.T) *scene {
	t.Helper()
	s := newScene(t, 3, rowsAPage, byKey)
	for i := range 7 {
		s.put(a, fmt.Sprint("k", i+1), "v")
	}
	took := false
	s.drops(func(from, to int, m oplog.Message) bool {
		page := only[*oplog.Page](m) && to == b && !took
		took = took || page
		return !page && (only[*oplog.Live](m) || took || from == c || to == c)
	})
	s.put(a, "z, the 8th", "v")
	s.put(a, "a, the 9th", "v")
	s.within(10*time.Second, "a page comes", func() bool { return took })
	s.Run(100 * time.Millisecond)
	return s
}

// TestScenario10RelayExtras: b holds 9 as an extra above clock 7. So does c
// after a pull from b.
func TestScenario10RelayExtras(t *testing.T) {
	s := holed(t)
	origin := s.bucket(a).Origin()
	if s.bucket(b).Ahead()[origin] != 9 || s.bucket(b).Seq(origin) != 7 {
		t.Fatalf("clock %d, ahead %v", s.bucket(b).Seq(origin), s.bucket(b).Ahead())
	}
	s.Node(a).Crash()
	s.Tap = nil
	s.within(time.Minute, "c holds the extra", func() bool { return s.value(c, "a, the 9th") == "v" })
	s.Run(time.Second)
	if got := s.bucket(c); got.Seq(origin) != 7 || got.Ahead()[origin] != 9 {
		t.Errorf("clock %d, ahead %v", got.Seq(origin), got.Ahead())
	}
	s.holds()
	s.Node(a).Start()
	s.settles()
}

// TestScenario11RelayThirdMaster: a is away, and only b has its writes. c gets
// them from b.
func TestScenario11RelayThirdMaster(t *testing.T) {
	s := newScene(t, 3)
	s.Node(c).Crash()
	s.put(a, "k", "from a")
	s.Run(time.Second)
	s.Node(a).Crash()
	s.Run(time.Minute)
	s.Node(c).Start()
	s.within(5*time.Second, "c has it from b", func() bool { return s.value(c, "k") == "from a" })
	if !s.RunUntil(s.Now().Add(time.Second), func() bool { return s.bucket(c).Clock().Equal(s.bucket(b).Clock()) }) {
		t.Errorf("clocks %v and %v", s.bucket(c).Clock(), s.bucket(b).Clock())
	}
	s.Node(a).Start()
	s.settles()
}

// TestScenario12ChunkMissing: a page of five is lost. The pull is given up and
// the clock stays.
func TestScenario12ChunkMissing(t *testing.T) {
	for lost := uint64(1); lost <= 5; lost++ {
		t.Run(fmt.Sprint("page ", lost), func(t *testing.T) {
			s := lacks(t, 5, rowsAPage)
			aborted, pulls := false, 0
			s.drops(func(_, to int, m oplog.Message) bool {
				page, isPage := m.(*oplog.Page)
				aborted = aborted || only[*oplog.Abort](m) && to == a
				if only[*oplog.Pull](m) {
					pulls++
				}
				return pulls > 1 || isPage && page.Number == lost
			})
			s.within(20*time.Second, "the pull is given up", func() bool { return aborted })
			s.Run(100 * time.Millisecond)
			if s.seq(b, a) != 0 {
				t.Errorf("clock %d without page %d", s.seq(b, a), lost)
			}
			s.holds()
			s.settles()
		})
	}
}

// TestScenario13ReceiverCrashMidSync: the puller crashes behind the first page and
// loses what it had not synced. It asks anew, and then all of the old stream
// arrives: it belongs to nobody.
func TestScenario13ReceiverCrashMidSync(t *testing.T) {
	s := lacks(t, 5, rowsAPage)
	var stream []func()
	s.taps(func(from, _ int, m oplog.Message, deliver func()) {
		if only[*oplog.Begin](m) || only[*oplog.Page](m) || only[*oplog.End](m) {
			if stream = append(stream, deliver); len(stream) > 2 {
				return // the beginning and a page come in time
			}
		}
		if from == a || len(stream) == 0 {
			deliver()
		}
	})
	s.within(10*time.Second, "the donor is done", func() bool { return len(stream) == 7 })
	s.Node(b).Crash()
	asks := false
	s.drops(func(from, _ int, m oplog.Message) bool {
		asks = asks || from == b && only[*oplog.Pull](m)
		return from == b || !only[*oplog.Heartbeat](m)
	})
	s.Node(b).Start()
	s.within(time.Minute, "the new instance asks", func() bool { return asks })
	for _, deliver := range stream {
		deliver()
		s.Run(10 * time.Millisecond)
	}
	if s.seq(b, a) != 0 || s.value(b, "k01") != "-" || s.value(b, "k04") != "-" {
		t.Errorf("clock %d, %d rows of a session of an earlier life", s.seq(b, a), s.bucket(b).Keys())
	}
	s.holds()
	s.settles()
}

// TestScenario43DigestStorm: fifty nodes meet after a partition. Each pulls a
// few times, and never twice at once.
func TestScenario43DigestStorm(t *testing.T) {
	const n = 50
	s := newScene(t, n)
	for i := range n / 2 {
		for j := range n / 2 {
			s.Part(i, n/2+j)
		}
	}
	for i := range n {
		s.Node(i).Write("orders", store.Op{Key: fmt.Append(nil, "k", i), Value: []byte("v")})
	}
	s.Run(5 * time.Minute)
	before := s.Stats.Count[simnet.Pulls]
	s.settles()
	s.Run(10 * time.Minute)
	pulls := s.Stats.Count[simnet.Pulls] - before
	t.Logf("%d pulls of %d nodes", pulls, n)
	if pulls < n/2 || pulls > 3*n {
		t.Errorf("%d nodes pulled %d times", n, pulls)
	}
}

// TestScenario44VectorGrowth: a node has started a thousand times and written
// each time. A heartbeat stays small, and so does a handshake: only what
// differs of the clock travels.
func TestScenario44VectorGrowth(t *testing.T) {
	s := newScene(t, 2)
	for i := range 1000 {
		s.Node(a).Crash()
		s.Node(a).Start()
		s.put(a, fmt.Sprint("k", i), "v")
	}
	s.settles()
	if n := len(s.bucket(b).Clock()); n < 1000 {
		t.Fatalf("the clock has %d rows", n)
	}
	handshake, beat := 0, 0
	s.taps(func(_, _ int, m oplog.Message, deliver func()) {
		body, err := oplog.Encode(oplog.Msgpack, m)
		if err != nil {
			t.Fatal(err)
		}
		switch m.(type) {
		case *oplog.Heartbeat:
			beat = max(beat, len(body))
		case *oplog.Hello, *oplog.HelloReply, *oplog.Compare, *oplog.Differ, *oplog.Pull, *oplog.Begin:
			handshake += len(body)
		case *oplog.Live:
			return
		}
		deliver()
	})
	s.put(a, "new", "v")
	s.within(time.Minute, "a pull brings it", func() bool { return s.value(b, "new") == "v" })
	t.Logf("%d bytes of handshake, %d of a heartbeat", handshake, beat)
	if handshake == 0 || handshake > 8<<10 || beat == 0 || beat > 1<<10 {
		t.Errorf("%d bytes of handshake, %d of a heartbeat", handshake, beat)
	}
}

// TestHashTellsExtrasApart: b holds 9 above a hole, c holds 8 and 9. Clocks and
// extras are told alike; only the hash of the rows tells that b lacks 8.
func TestHashTellsExtrasApart(t *testing.T) {
	s := holed(t)
	took := 0
	s.drops(func(from, to int, m oplog.Message) bool {
		page := only[*oplog.Page](m) && to == c
		if page {
			took++
		}
		return only[*oplog.Live](m) || from == b || to == b || to == c && (only[*oplog.End](m) || took > 2)
	})
	s.within(time.Minute, "c holds both", func() bool { return s.value(c, "z, the 8th") == "v" })
	origin := s.bucket(a).Origin()
	s.Node(a).Crash()
	if !s.bucket(c).Clock().Equal(s.bucket(b).Clock()) || !s.bucket(c).Ahead().Equal(s.bucket(b).Ahead()) || s.bucket(c).Ahead()[origin] != 9 {
		t.Fatalf("clocks %v and %v, ahead %v and %v", s.bucket(b).Clock(), s.bucket(c).Clock(), s.bucket(b).Ahead(), s.bucket(c).Ahead())
	}
	s.Run(time.Second)
	for _, i := range []int{b, c} { // to forget what they have heard of
		s.Node(i).Crash()
	}
	s.Tap = nil
	s.Node(b).Start()
	s.Node(c).Start()
	s.within(time.Minute, "b has the 8th from c", func() bool { return s.value(b, "z, the 8th") == "v" })
	s.Node(a).Start()
	s.settles()
}
