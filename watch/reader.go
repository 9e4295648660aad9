package watch

import (
	"bytes"
	"errors"
	"iter"
	"time"

	"replicator/oplog"
	"replicator/store"
)

// ErrTokenExpired ends a watch whose token is older than deletes that this node has
// forgotten, which it therefore cannot tell: watch from the start.
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
	// one and forgets the other. So whoever falls behind gets nothing twice.
	pos  oplog.Clock
	told map[oplog.Dot]struct{}
	// had is what the reader had, perhaps from another node that was further.
	had oplog.Clock

	unmarked bool // something was told since the last mark
}

// NewReader returns one who is told nothing yet, and of keys alone that begin with the
// prefix.
func NewReader(h *Hub, s *store.Store, b *store.Bucket, prefix []byte) *Reader {
	return &Reader{hub: h, store: s, bucket: b, prefix: prefix}
}

// Resume has the reader go on where the token stands.
func (r *Reader) Resume(token string) error {
	had, err := parseToken(r.bucket.Name(), token)
	r.had, r.pos = had, had
	return err
}

// JoinNow has the hub tell what changes from now on. The bucket may not change
// meanwhile.
func (r *Reader) JoinNow() {
	r.hub.join(r)
	r.moveTo(r.bucket.Clock())
}

// Join takes a snapshot and joins the hub in the same moment: what changes from then
// on is told by the hub, once it can be. The bucket may not change meanwhile. Of the
// snapshot Rows are to be told first; then Replayed is to be called, and Close.
func (r *Reader) Join() (*store.Snapshot, error) {
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
		for e, err := range rows {
			if err != nil {
				yield(e, err)
				return
			}
			if _, told := r.told[e.Dot()]; told || !bytes.HasPrefix(e.Key, r.prefix) || fromStart && !e.Live(now) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Replayed notes that all rows of the snapshot were told.
func (r *Reader) Replayed(snap *store.Snapshot) { r.moveTo(snap.Clock) }

func (r *Reader) moveTo(clock oplog.Clock) {
	r.pos, r.told, r.unmarked = clock, map[oplog.Dot]struct{}{}, false
	r.pos.Join(r.had)
}

// Events is what the hub tells, each of which Take is to be asked about. Once it is
// closed, Why says for what reason.
func (r *Reader) Events() <-chan Telling { return r.watcher.events }

// Why is what ended Events.
func (r *Reader) Why() error { return r.watcher.why }

// Take notes what the hub has told and reports whether it is news to the reader.
func (r *Reader) Take(t Telling) bool {
	r.watcher.bytes.Add(-t.size())
	if t.Mark != nil {
		r.moveTo(t.Mark.Clone()) // others have it, too
		return true
	}
	if r.had.Covers(t.Entry.Dot()) {
		return false
	}
	r.unmarked = true
	r.told[t.Entry.Dot()] = struct{}{}
	return true
}

// Unmarked reports whether something was told since the last mark.
func (r *Reader) Unmarked() bool { return r.unmarked }

// Crowded reports whether so much was told since that a mark should come at once.
func (r *Reader) Crowded() bool { return r.unmarked && len(r.told)%max(r.hub.limits.Events/4, 1) == 0 }

// Token is where to go on, on any node: all that it covers was told.
func (r *Reader) Token() string { return token(r.bucket.Name(), r.pos) }
