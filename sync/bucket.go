package syncer

import (
	"time"

	"replicator/oplog"
)

// A bucket is what the engine remembers of one bucket between events. All of
// it may be lost in a crash.
type bucket struct {
	name    string
	pull    *pull
	want    *want
	backoff time.Duration // of pulls that failed
	rest    time.Time     // until when no live write calls for another, after one that failed
	byKey   bool          // a stream by log was too slow: ask for key order

	queued      map[oplog.Origin]oplog.Seq // live messages handed to the store, up to here
	queuedBytes int
	held        map[oplog.Origin][]heldLive // behind a gap, by first
	heldBytes   int
	behind      map[oplog.Origin]oplog.Seq // heard of, neither held nor applied
	catchingUp  bool                       // since an overflow, until all of behind is here
	dropping    bool                       // since an overflow, until the next pull begins

	fruitless int // pulls in a row that brought nothing of what was heard of

	collectAt time.Time // when tombstones are collected next
	helped    time.Time // when a page of a reconcile was served last

	gatedBy     string   // the donor that wants a reconcile
	reconciling bool     // one is under way: what comes live has to wait
	wiping      bool     // the store is asked to empty the bucket
	unsure      int      // how often in a row a replica's store met what it cannot take
	badEnds     int      // of a reconcile, in a row, that the store refused
	startOver   bool     // the next one begins at the first key, whatever the token says
	donors      []string // with whose rows it was compared so far; nil: an earlier process knows
	doubt       *doubt   // it would remove many rows, and waits

	mending mending
}

// A want is a pull that has been decided on but not begun.
type want struct {
	at    time.Time
	donor string // empty for any
	gap   bool   // for the sake of live writes
}

func (e *Engine) bucket(name string) *bucket {
	b := e.buckets[name]
	if b == nil {
		b = &bucket{
			name:   name,
			queued: map[oplog.Origin]oplog.Seq{}, held: map[oplog.Origin][]heldLive{},
			behind: map[oplog.Origin]oplog.Seq{},
		}
		e.buckets[name] = b
	}
	return b
}

// halfReconciled reports whether the store has a reconcile begun and not ended.
func (e *Engine) halfReconciled(bucket string) bool {
	t, ok := e.store.Token(bucket)
	return ok && t.Gate != nil
}

// want asks for a pull after d. One wanted sooner stays.
func (e *Engine) want(b *bucket, donor string, d time.Duration) {
	e.wantOne(b, want{at: e.now.Add(d), donor: donor})
}

func (e *Engine) wantOne(b *bucket, w want) {
	if b.want == nil || b.want.at.After(w.at) {
		b.want = &w
	}
	e.at(b.want.at)
}

// wantGap asks for a pull because a live write has a gap before it. A busy
// writer would have one begin every few milliseconds, so after one that failed
// these wait as long as its retry does.
func (e *Engine) wantGap(b *bucket, donor string) {
	d := max(e.jitter(gapJitter), b.rest.Sub(e.now))
	e.wantOne(b, want{at: e.now.Add(d), donor: donor, gap: true})
}

// retry asks for a pull after d, and for none sooner that only live writes want.
func (e *Engine) retry(b *bucket, donor string, d time.Duration) {
	b.rest = e.now.Add(d)
	if b.want != nil && b.want.gap {
		b.want = nil
	}
	e.want(b, donor, d)
}

// tickBucket begins the wanted pull, or gives up on one whose donor is silent.
// A bucket is pulled from one donor at a time.
func (e *Engine) tickBucket(b *bucket) {
	if b.wiping {
		return
	}
	if b.pull != nil {
		if !e.passed(b.pull.deadline) {
			return
		}
		if b.pull.waitsForStore() && b.pull.patience > 0 {
			b.pull.patience--
			e.waitForDonor(b.pull)
			return
		}
		e.abortPullFor(b.pull, oplog.ReasonSlow, "no answer")
		return
	}
	if b.want != nil && e.passed(b.want.at) {
		w := b.want
		b.want = nil
		if donor := e.pickDonor(b.name, w.donor); donor != nil {
			e.startPull(b, donor)
		} else {
			e.wantUnsettled(b)
		}
	}
}

// covered returns up to which seq of the origin the store has it, or will have
// once what is queued is applied.
func (e *Engine) covered(b *bucket, o oplog.Origin) oplog.Seq {
	return max(e.store.Covered(b.name, o), b.queued[o])
}

// settle forgets what was behind and is here now, and reports whether anything
// still is.
func (e *Engine) settle(b *bucket) bool {
	for o, seq := range b.behind {
		if e.store.Covered(b.name, o) >= seq {
			delete(b.behind, o)
		}
	}
	if b.catchingUp && len(b.behind) == 0 {
		b.catchingUp = false
		e.do(Raise{Kind: EventCaughtUp, Bucket: b.name, Text: "bucket " + b.name + " follows live again"})
	}
	return len(b.behind) > 0 || len(b.held) > 0
}
