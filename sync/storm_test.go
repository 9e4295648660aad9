package syncer_test

import (
	"errors"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// TestLiveWritesDoNotHurryFailedPulls: a steady writer is heard a hundred times
// a second. Each of its writes has a gap before it, but a donor that is busy, or
// an own disk that is full, is not asked again for each.
func TestLiveWritesDoNotHurryFailedPulls(t *testing.T) {
	for name, fail := range map[string]func(b *bench, s oplog.Session){
		"busy": func(b *bench, s oplog.Session) { b.hear("", &oplog.Busy{Session: s, RetryAfter: 2000}) },
		"failed": func(b *bench, s oplog.Session) {
			b.hear("", &oplog.Abort{Session: s, Bucket: "orders", Reason: oplog.ReasonFailed})
		},
		"own disk full": func(b *bench, s oplog.Session) {
			b.hear("", &oplog.Begin{Session: s, Clock: oplog.Clock{origin: 5}})
			b.hear("", &oplog.Page{Session: s, Number: 1, Entries: []oplog.Entry{entry(1)}})
			b.step(syncer.PageApplied{Bucket: "orders", Session: s.ID, Number: 1, Err: errors.New("disk full")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.hear("b", &oplog.Hello{From: instance("b", nonceB), Session: 6, Digests: []oplog.Digest{b.store.Durable("orders")}})
			pulls := 0
			for seq := uint64(5); seq < 1005; seq++ {
				b.now = b.now.Add(10 * time.Millisecond)
				out := b.hear("b", live(seq))
				out = append(out, b.step(syncer.Tick{})...)
				for _, a := range out {
					if send, ok := a.(syncer.Send); ok {
						if m, ok := send.Message.(*oplog.Pull); ok {
							pulls++
							b.now = b.now.Add(5 * time.Millisecond)
							b.hear("b", live(seq)) // while the pull runs
							fail(b, m.Session)
						}
					}
				}
			}
			if pulls > 20 || pulls < 3 {
				t.Errorf("%d pulls in ten seconds", pulls)
			}
		})
	}
}

// TestLargeFleetBeatsSlowly: where the budget of the fleet makes pauses longer
// than those of a small one, nobody is back after each of them.
func TestLargeFleetBeatsSlowly(t *testing.T) {
	b := newBenchWith(t, syncer.Options{HeartbeatMax: 10 * time.Second, FleetBudget: 4})
	from, equal := instance("b", nonceB), []oplog.Digest{b.store.Durable("orders")}
	hellos := 0
	for n := range 20 {
		out := b.hear("b", &oplog.Heartbeat{From: from, Wall: b.now.UnixMilli(), Digests: equal})
		for end := b.now.Add(80 * time.Second); b.now.Before(end); b.now = b.now.Add(time.Second) {
			for _, a := range out {
				s, ok := a.(syncer.Send)
				if !ok {
					continue
				}
				if _, ok := s.Message.(*oplog.Hello); ok {
					hellos++
					b.hear("", &oplog.HelloReply{From: from, Session: s.Session, Digests: equal})
				}
			}
			out = b.step(syncer.Tick{})
		}
		if n == 0 && hellos == 0 {
			t.Fatal("no hello at first")
		}
	}
	if hellos > 2 { // one as they meet, one before the budget is known
		t.Errorf("%d hellos to a peer that beats as slowly as it should", hellos)
	}
}
