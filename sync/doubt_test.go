package syncer_test

import (
	"slices"
	"testing"
	"time"

	"replicator/oplog"
	syncer "replicator/sync"
)

// doubting is an engine that doubts what b alone has said: 5000 of 10000 rows.
func doubting(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.store.clock = oplog.Clock{origin: 1}
	s := b.pulls()
	b.hear("", &oplog.Abort{Session: s, Bucket: "orders", Reason: oplog.ReasonGate})
	gcv := oplog.Clock{origin: 2}
	b.rec("b", oplog.Clock{origin: 9}, gcv)
	end := b.ends()
	b.store.token = &syncer.Token{Cursor: []byte("z"), Claim: oplog.Clock{origin: 9}, Gate: &syncer.Gate{GCV: gcv}}
	b.step(syncer.PullEnded{Bucket: "orders", Session: end.Session, Err: &syncer.DoubtfulError{Removes: 5000, Rows: 10000, Going: []uint64{1, 2, 3}, Limit: 4997}})
	if d := b.engine.Bucket("orders").Doubt; d == nil || d.Removes != 5000 || d.Donors[0] != "b" {
		t.Fatalf("waits with %+v", d)
	}
	return b
}

func (b *bench) next(donor string) *oplog.Pull {
	b.t.Helper()
	for {
		if a := until[syncer.Send](b); a.To == donor {
			if m, ok := a.Message.(*oplog.Pull); ok {
				return m
			}
		}
	}
}

func (b *bench) rec(donor string, clock, gcv oplog.Clock) *oplog.Pull {
	m := b.next(donor)
	if !m.Reconcile {
		b.t.Fatal("no reconcile")
	}
	b.last = m.Session
	b.hear("", &oplog.Begin{Session: m.Session, KeyOrder: true, Clock: clock, GCV: gcv})
	return m
}

func (b *bench) ends() syncer.EndPull {
	b.t.Helper()
	end, ok := find[syncer.EndPull](b.hear("", &oplog.End{Session: b.last}))
	if !ok {
		b.t.Fatal("no end")
	}
	return end
}

func (b *bench) meetsC() {
	b.hear("c", &oplog.Hello{From: instance("c", oplog.Nonce{3}), Session: 6, Digests: []oplog.Digest{{Bucket: "orders", Clock: 98}}})
}

// TestOperatorLetsRowsGo: those that b named, of which he was shown how many, whoever
// names them in the end. What c alone names he has not seen, whenever that comes.
func TestOperatorLetsRowsGo(t *testing.T) {
	for name, before := range map[string]func(b *bench){
		"c is asked already": func(b *bench) {
			b.meetsC()
			b.rec("c", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
			b.step(syncer.AcceptDoubt{Bucket: "orders", Most: 5000})
		},
		"it starts over with c, weeks later": func(b *bench) {
			b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Stopping: true})
			b.step(syncer.AcceptDoubt{Bucket: "orders", Most: 5000})
			b.now = b.now.Add(21 * 24 * time.Hour)
			b.meetsC()
			other := oplog.Origin{Node: "c", Epoch: 3}
			b.rec("c", oplog.Clock{other: 7}, oplog.Clock{other: 5}) // does not fit the token
			if m := b.rec("c", oplog.Clock{origin: 9, other: 7}, oplog.Clock{other: 5}); len(m.Cursor) > 0 {
				t.Fatal("it goes on with the token of b")
			}
		},
	} {
		b := doubting(t)
		before(b)
		if end := b.ends(); end.Accept.Most != 0 || !slices.Equal(slices.Compact(end.Accept.Rows), []uint64{1, 2, 3}) {
			t.Errorf("%s: %+v may go", name, end.Accept)
		}
	}
	b := doubting(t)
	send, _ := find[syncer.Send](b.step(syncer.AcceptDoubt{Bucket: "orders", Most: 5000}))
	m, ok := send.Message.(*oplog.Pull)
	if !ok || send.To != "b" || len(m.Cursor) == 0 {
		t.Fatalf("sent %+v", send)
	}
	b.last = m.Session
	b.hear("", &oplog.Begin{Session: m.Session, KeyOrder: true, Clock: oplog.Clock{origin: 9}, GCV: oplog.Clock{origin: 2}})
	if end := b.ends(); end.Accept.Most != 4997 { // those of b that have no hash
		t.Errorf("of b %+v may go", end.Accept)
	}
}

// TestJointOpinionIsNobodys: two that each gave a half could second nobody.
func TestJointOpinionIsNobodys(t *testing.T) {
	b := doubting(t)
	b.meetsC()
	b.rec("c", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
	e := entry(1)
	e.Key = []byte("m")
	b.hear("", &oplog.Page{Session: b.last, Number: 1, Entries: []oplog.Entry{e}})
	b.step(syncer.PageApplied{Bucket: "orders", Session: b.last.ID, Number: 1})
	b.store.token = &syncer.Token{Cursor: []byte("m"), Claim: oplog.Clock{origin: 9}, Gate: &syncer.Gate{GCV: oplog.Clock{origin: 2}}}
	b.hear("c", &oplog.Heartbeat{From: instance("c", oplog.Nonce{3}), Stopping: true})
	b.hear("d", &oplog.Hello{From: instance("d", oplog.Nonce{4}), Session: 7, Digests: []oplog.Digest{{Bucket: "orders", Clock: 97}}})
	if m := b.rec("d", oplog.Clock{origin: 9}, oplog.Clock{origin: 2}); string(m.Cursor) != "m" {
		t.Fatalf("it goes on behind %q", m.Cursor)
	}
	end := b.ends()
	b.step(syncer.PullEnded{Bucket: "orders", Session: end.Session, Err: &syncer.DoubtfulError{Removes: 9999, Rows: 10000}})
	if m := b.next("d"); len(m.Cursor) > 0 {
		t.Errorf("it goes on behind %q", m.Cursor)
	}
	if d := b.engine.Bucket("orders").Doubt; d == nil || d.Removes != 5000 {
		t.Errorf("it waits with %+v", d)
	}
}

// TestOperatorAcceptsWhatHeSaw: the operator was shown 5000 rows that b has no more,
// and accepts; meanwhile c has said 9999.
func TestOperatorAcceptsWhatHeSaw(t *testing.T) {
	b := doubting(t)
	b.meetsC()
	b.rec("c", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
	end := b.ends()
	b.step(syncer.PullEnded{Bucket: "orders", Session: end.Session, Err: &syncer.DoubtfulError{Removes: 9999, Rows: 10000}})
	b.step(syncer.AcceptDoubt{Bucket: "orders", Most: 5000})
	if d := b.engine.Bucket("orders").Doubt; d == nil || d.Removes != 9999 || d.Donors[0] != "c" {
		t.Errorf("after he has accepted 5000 it waits with %+v", d)
	}
}

// TestAcceptedDoubtDoesNotHideTheEmptying: a replica's doubt was accepted; going on with
// it meets what a replica cannot take. The bucket is to be
// emptied then, and that is accepted by itself.
func TestAcceptedDoubtDoesNotHideTheEmptying(t *testing.T) {
	b := unsettledReplica(t)
	s := b.pulls()
	b.hear("", &oplog.Abort{Session: s, Bucket: "orders", Reason: oplog.ReasonGate})
	gcv := oplog.Clock{origin: 6}
	b.rec("b", oplog.Clock{origin: 9}, gcv)
	end := b.ends()
	b.store.token = &syncer.Token{Cursor: []byte("z"), Claim: oplog.Clock{origin: 9}, Gate: &syncer.Gate{GCV: gcv}}
	b.step(syncer.PullEnded{Bucket: "orders", Session: end.Session, Err: &syncer.DoubtfulError{Removes: 5000, Rows: 10000}})
	b.step(syncer.AcceptDoubt{Bucket: "orders", Most: 5000})
	b.refuse()
	if d := b.engine.Bucket("orders").Doubt; d == nil || !d.Empties {
		t.Fatalf("waits with %+v", d)
	}
	if _, wiped := find[syncer.Wipe](b.step(syncer.AcceptDoubt{Bucket: "orders", Empties: true})); !wiped {
		t.Error("the operator has accepted that it is emptied, and it is not")
	}
}

// TestSecondOpinionNamesTheRows: what two donors have said goes, whichever of those
// before.
func TestSecondOpinionNamesTheRows(t *testing.T) {
	b := doubting(t)
	b.meetsC()
	b.rec("c", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
	end := b.ends()
	if want := []uint64{1, 2, 3}; !slices.Equal(end.Accept.Rows, want) || end.Accept.Most != 0 {
		t.Fatalf("b has said %v may go, c is to second %+v", want, end.Accept)
	}
	b.step(syncer.PullEnded{Bucket: "orders", Session: end.Session, Err: &syncer.DoubtfulError{Removes: 6000, Rows: 10000, Going: []uint64{3, 4}}})
	b.hear("d", &oplog.Hello{From: instance("d", oplog.Nonce{4}), Session: 7, Digests: []oplog.Digest{{Bucket: "orders", Clock: 97}}})
	b.rec("d", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
	if end := b.ends(); !slices.Equal(end.Accept.Rows, []uint64{1, 2, 3, 4}) {
		t.Errorf("d is to second %+v", end.Accept)
	}
}

// TestFirstIsAskedAgainOnceItIsSeconded: c says what b said, and more. Of the two b may
// have it carried out then.
func TestFirstIsAskedAgainOnceItIsSeconded(t *testing.T) {
	b := doubting(t)
	b.meetsC()
	b.rec("c", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
	end := b.ends()
	b.step(syncer.PullEnded{Bucket: "orders", Session: end.Session, Err: &syncer.DoubtfulError{Removes: 5, Rows: 10, Going: []uint64{1, 2, 3, 4, 5}}})
	b.hear("b", &oplog.Heartbeat{From: instance("b", nonceB), Wall: b.now.UnixMilli(), Digests: []oplog.Digest{{Bucket: "orders", Clock: 99}}})
	b.rec("b", oplog.Clock{origin: 9}, oplog.Clock{origin: 2})
	if end := b.ends(); !slices.Equal(end.Accept.Rows, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("c has seconded %+v", end.Accept)
	}
}
