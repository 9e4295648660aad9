package store

import (
	"fmt"
	"time"

	"replicator/oplog"
)

// Applied is what a merge of foreign entries did.
type Applied struct {
	Changes []Change      // rows that really changed, in order
	Merged  int           // entries that were news, those that lost included
	Future  []oplog.Entry // stored as they are, but from further in the future than the own clock follows
	Forks   []Fork

	// Conflicts are pairs of concurrent writes. Those whose loser was written
	// here are kept: see Bucket.Lost.
	Conflicts []Conflict

	Gaps    int     // live messages left out: announced, or with seqs missing before them
	Refused []error // live messages no correct master sends, left out; each a *MalformedError

	// Ambiguous are entries that may be older than a tombstone collected here.
	// Reissued holds the own new writes they became, to be published like those
	// of a Write.
	Ambiguous []Ambiguity
	Reissued  Written

	// Gate is what the gate has taken over, if a reconcile has ended: deletes that were
	// never seen here, as a rule, and that no change tells of where the row was not here
	// either.
	Gate oplog.Clock
}

// A Fork is one dot with two contents: two instances wrote as one origin. The
// origin must be stopped.
type Fork struct {
	Held     oplog.Entry // zero for a write under the own origin that was not made here
	Received oplog.Entry
}

// check refuses an entry that must not get in by any road, or could not be
// read again once stored.
func check(e *oplog.Entry) error {
	err := e.Check()
	switch prev := &e.Prev; {
	case err != nil:
	case e.Stamp.HLC > maxHLC:
		err = fmt.Errorf("timestamp %d is above %d", uint64(e.Stamp.HLC), uint64(maxHLC))
	case !prev.IsZero() && (prev.HLC == 0 || prev.Seq == 0 || prev.Origin.Epoch == 0):
		err = fmt.Errorf("replaces %s, which is no complete stamp", prev)
	}
	if err != nil {
		return &MalformedError{Dot: e.Dot(), Err: err}
	}
	return nil
}

// merge takes one remote entry: the rules 3.3, for every road. The caller
// raises the clock or ahead in the same batch. It reports whether the entry
// was news.
func (t *tx) merge(now time.Time, e *oplog.Entry, a *Applied) (news bool, err error) {
	if t.covers(e.Dot()) {
		return false, t.lookForFork(e, a)
	}
	if e.Stamp.Origin == t.b.s.origin() {
		// All that was written here is covered: this came from another
		// instance under the own name and epoch.
		t.b.s.retire(e.Stamp.Origin)
		t.own = oplog.Origin{}
		a.Forks = append(a.Forks, Fork{Received: *e})
	}
	a.Merged++
	t.observe(now, e, a)
	s, err := t.slot(e.Key)
	if err != nil {
		return true, err
	}
	if forked, err := t.forked(s, e, a); forked || err != nil {
		return true, err
	}
	if s.cur != nil && s.cur.bad && !s.cur.Stamp.Less(e.Stamp) && s.cur.Stamp != e.Stamp {
		return true, nil // a repair brings the later one; until then streams break off at it
	}
	if s.cur != nil && !s.cur.bad {
		if !s.cur.Stamp.Less(e.Stamp) {
			t.conflict(now, &s.cur.Entry, e, a)
			return true, nil
		}
		t.conflict(now, e, &s.cur.Entry, a)
	}
	ambiguous := !e.Tombstone && e.Stamp.HLC <= t.gcts && absentLike(s, t.gcts)
	if s.cur != nil && s.cur.Stamp == e.Stamp {
		ambiguous = false // it was here before it rotted
	}
	t.put(s, newRow(*e))
	if ambiguous {
		return true, t.reissue(now, s, a)
	}
	return true, nil
}

// observe lets the own clock follow the entry's timestamp, but never further
// than maxDrift before the wall clock.
func (t *tx) observe(now time.Time, e *oplog.Entry, a *Applied) {
	limit := oplog.HLCAt(now).Add(t.b.s.opts.MaxDrift)
	if e.Stamp.HLC > limit {
		a.Future = append(a.Future, *e)
	}
	if hlc := min(e.Stamp.HLC, limit); hlc > t.hlc {
		t.hlc = hlc
		t.dirty = true
	}
}

// reissue writes the slot's row, which may be older than a tombstone that was
// collected, once more as an own new write, or a delete in its place as the
// policy says: all will agree on that. Its timestamp is as low as can be: what
// somebody wrote since should beat it.
func (t *tx) reissue(now time.Time, s *slot, a *Applied) error {
	return t.reissueAs(now, t.b.ambiguous(), s, a)
}

func (t *tx) reissueAs(now time.Time, policy Policy, s *slot, a *Applied) error {
	if t.b.s.opts.Replica {
		return ErrAmbiguous
	}
	received := s.cur.Entry
	e := oplog.Entry{Key: s.cur.Key, Value: s.cur.Value, Expiry: s.cur.Expiry, Type: s.cur.Type}
	if policy != Keep {
		e = oplog.Entry{Key: s.cur.Key, Tombstone: true}
	}
	r, err := t.issueAt(max(t.guard(), s.cur.Stamp.HLC)+1, s, e)
	if err != nil {
		return err
	}
	t.follow(now, r.Stamp.HLC) // with a floor below it, a tombstone would stay for ever
	if policy == Park {
		t.lost = append(t.lost, Lost{At: now, Entry: received, Winner: r.Stamp, Parked: true})
	}
	a.Ambiguous = append(a.Ambiguous, Ambiguity{Received: received, Issued: r.Entry})
	w := &a.Reissued
	if w.First == 0 {
		w.First, w.Origin = r.Stamp.Seq, r.Stamp.Origin
	}
	w.Last = r.Stamp.Seq
	w.Entries = append(w.Entries, r.Entry)
	return nil
}

// forked reports an entry whose dot already names something else here. One on
// another key is left out: the log can hold a dot only once.
func (t *tx) forked(s *slot, e *oplog.Entry, a *Applied) (leaveOut bool, err error) {
	dot := e.Dot()
	if s.cur != nil && s.cur.bad {
		return false, nil
	}
	if s.cur != nil && s.cur.Dot() == dot {
		if s.cur.Stamp != e.Stamp || s.cur.hash != e.Hash() {
			a.Forks = append(a.Forks, Fork{Held: s.cur.Entry, Received: *e})
		}
		return false, nil
	}
	if other := t.dots[dot]; other != nil {
		if other == s {
			return false, nil
		}
		a.Forks = append(a.Forks, Fork{Held: other.cur.Entry, Received: *e})
		return true, nil
	}
	if dot.Seq > t.b.state.ahead[dot.Origin] {
		return false, nil // never held
	}
	return t.logged(e, a)
}

// logged looks the entry's dot up in the log.
func (t *tx) logged(e *oplog.Entry, a *Applied) (other bool, err error) {
	n, ok := t.b.s.origins.known(e.Stamp.Origin)
	if !ok {
		return false, nil
	}
	key, ok, err := t.b.s.kv.Get(logKey(t.b.id, n, e.Stamp.Seq))
	if err != nil || !ok || string(key) == string(e.Key) {
		return false, err
	}
	held, err := t.b.anyRow(t.b.s.kv, key)
	if err != nil || held == nil || held.bad || held.Dot() != e.Dot() {
		return false, err
	}
	a.Forks = append(a.Forks, Fork{Held: held.Entry, Received: *e})
	return true, nil
}

// lookForFork compares a covered entry with what is held under its dot. It
// changes nothing.
func (t *tx) lookForFork(e *oplog.Entry, a *Applied) error {
	s, err := t.slot(e.Key)
	if err != nil {
		return err
	}
	if s.cur != nil && s.cur.bad {
		return nil
	}
	if s.cur != nil && s.cur.Dot() == e.Dot() {
		if s.cur.Stamp != e.Stamp || s.cur.hash != e.Hash() {
			a.Forks = append(a.Forks, Fork{Held: s.cur.Entry, Received: *e})
		}
		return nil
	}
	_, err = t.logged(e, a)
	return err
}
