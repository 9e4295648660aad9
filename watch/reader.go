package watch

import (
	"bytes"
	"errors"
	"iter"
	"maps"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// ErrTokenExpired ends a watch whose token is older than deletes that this node has
// forgotten, or has taken over as such in a reconcile, which it therefore cannot tell:
// watch from the start.
var ErrTokenExpired = errors.New("replicator: the token is older than deletes that were forgotten: watch from the start")

// A Reader is how far one who watches a bucket was told. He begins with JoinNow, or with
// Join, behind the token of Resume or at the start; then he takes what Events has. It
// belongs to one goroutine, but for Leave.
type Reader struct {
	hub    *Hub
	store  *store.Store
	bucket *store.Bucket
	prefix []byte

	watcher *watcher // changes under the hub's mutex

	// pos is what was told for sure, told what has been beyond it: a mark moves the
	// one and forgets of the other what it covers. So whoever falls behind gets nothing
	// twice, unless that is more than Limits.Remembered: what a pull by key brings is
	// under no clock until it ends.
	pos  oplog.Clock
	told map[oplog.Dot]struct{}
	at   oplog.Clock // what of pos this node covers
	high oplog.HLC   // no row of a key that he was told of or passed over is later

	// had is what the reader had, perhaps from another node that was further, and
	// hadHigh its high. ahead tells that this node does not cover it yet; behind, that
	// moreover he was told here what may be older than what he had under its key. Then
	// he is told all of it once more, and a token of here covers what is here, alone. So
	// whoever takes events as they come ends with the newest, wherever he goes on.
	had     oplog.Clock
	hadHigh oplog.HLC
	ahead   bool
	behind  bool

	unmarked int // how much the hub has told since the last mark
}

// NewReader returns one who is told nothing yet, and of keys alone that begin with the
// prefix.
func NewReader(h *Hub, s *store.Store, b *store.Bucket, prefix []byte) *Reader {
	return &Reader{hub: h, store: s, bucket: b, prefix: prefix, told: map[oplog.Dot]struct{}{}}
}

// Resume has the reader go on where the token stands.
func (r *Reader) Resume(token string) error {
	had, high, err := parseToken(r.bucket.Name(), token)
	r.had, r.hadHigh, r.pos, r.high = had, high, had, high
	return err
}

// JoinNow has the hub tell what changes from now on. The bucket may not change
// meanwhile.
func (r *Reader) JoinNow() {
	r.hub.join(r)
	r.high = ^oplog.HLC(0) // he may know anything of what is there
	r.moveTo(r.bucket.Clock())
}

// Join takes a snapshot and joins the hub in the same moment: what changes from then
// on is told by the hub, once it can be. The bucket may not change meanwhile. Of the
// snapshot Rows are to be told first; then Replayed is to be called, and Close.
func (r *Reader) Join() (*store.Snapshot, error) {
	if err := r.hub.ended(r); err != nil {
		return nil, err
	}
	snap, err := r.bucket.Snapshot()
	if err == nil {
		r.hub.join(r)
	}
	return snap, err
}

// Leave ends what the hub tells. It may be called by any goroutine, and twice.
func (r *Reader) Leave() { r.hub.leave(r) }

// Rows yields those rows of the snapshot that the reader was not told: from the start,
// in order of key, those that he would find there now; else, in order of the log, all
// that he did not have, deletes among them. An error ends it.
func (r *Reader) Rows(snap *store.Snapshot, fromStart bool, now time.Time) iter.Seq2[oplog.Entry, error] {
	return func(yield func(oplog.Entry, error) bool) {
		if err := r.store.Sync(); err != nil { // own writes among them leave no sooner
			yield(oplog.Entry{}, err)
			return
		}
		rows := snap.Log(r.pos)
		if fromStart {
			rows = snap.Prefixed(r.prefix)
		} else if !r.pos.GE(snap.GCV) {
			yield(oplog.Entry{}, ErrTokenExpired)
			return
		}
		r.ahead, r.high = !snap.Clock.GE(r.had), max(r.high, snap.GCTS)
		if r.at == nil {
			r.at = r.had.Meet(snap.Clock)
		}
		for e, err := range rows {
			if err != nil {
				yield(e, err)
				return
			}
			r.meet(&e, false)
			if _, told := r.told[e.Dot()]; told || !bytes.HasPrefix(e.Key, r.prefix) || fromStart && !e.Live(now) {
				continue
			}
			if !snap.Clock.Covers(e.Dot()) {
				r.remember(e.Dot())
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Replayed notes that all rows of the snapshot were told.
func (r *Reader) Replayed(snap *store.Snapshot) { r.moveTo(snap.Clock) }

// moveTo takes a clock that others may have, too: it is not changed.
func (r *Reader) moveTo(clock oplog.Clock) {
	r.at, r.pos, r.unmarked = clock, clock, 0
	if r.ahead = !clock.GE(r.had); !r.ahead {
		r.behind = false
	} else if !r.behind {
		r.pos = clock.Clone()
		r.pos.Join(r.had)
	}
	maps.DeleteFunc(r.told, func(d oplog.Dot, _ struct{}) bool { return r.pos.Covers(d) })
}

// meet notes a row that the reader is told, or that is passed over since nobody sees it.
// One that goes may be older than what he had under its key even if he had it, too.
func (r *Reader) meet(e *oplog.Entry, back bool) {
	if r.ahead && !r.behind && e.Stamp.HLC <= r.hadHigh && (back || !r.had.Covers(e.Dot())) {
		r.behind, r.pos = true, r.at
	}
	r.high = max(r.high, e.Stamp.HLC)
}

func (r *Reader) remember(d oplog.Dot) {
	if len(r.told) < r.hub.limits.Remembered {
		r.told[d] = struct{}{}
	}
}

// Events is what the hub tells, each of which Take is to be asked about. Once it is
// closed, Why says for what reason.
func (r *Reader) Events() <-chan *Telling { return r.watcher.events }

// Why is what ended Events.
func (r *Reader) Why() error { return r.watcher.why }

// Take notes what the hub has told and reports whether it is news to the reader: a
// change that he did not have, or a mark.
//
// ErrTokenExpired is for one who came with a token to a node that is reconciled then: of
// what was deleted he may have had rows that this node had not, so that no change tells
// of their end.
func (r *Reader) Take(t *Telling) (news bool, err error) {
	r.watcher.bytes.Add(-t.size())
	switch {
	case t.Mark != nil:
		r.moveTo(t.Mark)
		return true, nil
	case t.Gate != nil:
		if r.had != nil && !r.pos.GE(t.Gate) {
			return false, ErrTokenExpired
		}
		return false, nil
	case !t.Back && !r.behind && r.had.Covers(t.Entry.Dot()):
		return false, nil
	}
	r.meet(&t.Entry, t.Back)
	r.unmarked++
	r.remember(t.Entry.Dot())
	return true, nil
}

// Unmarked reports whether something was told that the last mark does not cover.
func (r *Reader) Unmarked() bool { return r.unmarked > 0 || len(r.told) > 0 }

// Crowded reports whether so much was told since that a mark should come at once.
func (r *Reader) Crowded() bool {
	return r.unmarked > 0 && r.unmarked%max(r.hub.limits.Events/4, 1) == 0
}

// Position is the clock of Token. It must not be changed.
func (r *Reader) Position() oplog.Clock { return r.pos }

// Behind reports whether the reader is told again what he had: this node does not cover
// that, and has told him what may be older. Before the first such row the token goes
// back: he is to have that before the row.
func (r *Reader) Behind() bool { return r.behind }

// Token is where to go on, on any node: all that it covers was told.
func (r *Reader) Token() string { return token(r.bucket.Name(), r.pos, r.high) }
