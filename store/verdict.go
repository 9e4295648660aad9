package store

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"replicator/oplog"
)

// A verdict is what the end of a reconcile does to a key, if the row is still
// the one that was judged.
type verdict struct {
	stamp   oplog.Stamp // of that row; zero of a torn one
	bad     bool        // it is not what was written
	reissue bool        // write it anew; else it goes
	instead *row        // what the donor has in its place; nil: nothing
}

const verdictV1 = 1

const (
	verdictReissue = 1 << iota
	verdictInstead
	verdictBad
	verdictTorn
	verdictKnown = 1<<iota - 1
)

// encode writes version 1, flags, [stamp], [row].
func (v *verdict) encode(number func(oplog.Origin) originNo) []byte {
	var flags byte
	if v.reissue {
		flags |= verdictReissue
	}
	if v.instead != nil {
		flags |= verdictInstead
	}
	if v.bad {
		flags |= verdictBad
	}
	if v.stamp.IsZero() {
		flags |= verdictTorn
	}
	b := []byte{verdictV1, flags}
	if !v.stamp.IsZero() {
		b = appendStamp(b, &v.stamp, number)
	}
	if v.instead != nil {
		b = appendRow(b, v.instead, number)
	}
	return b
}

func (b *Bucket) decodeVerdict(key, value []byte) (*verdict, error) {
	d := rowDecoder{b: value, origin: b.s.origins.origin}
	if d.byte() != verdictV1 {
		d.fail(errRowVersion)
	}
	flags := d.byte()
	if flags&^verdictKnown != 0 {
		d.fail(errRowFlags)
	}
	v := &verdict{reissue: flags&verdictReissue != 0, bad: flags&verdictBad != 0}
	if flags&verdictTorn == 0 {
		d.stamp(&v.stamp)
	} else if !v.bad {
		d.fail(errRowFlags)
	}
	if d.err == nil && flags&verdictInstead != 0 {
		if v.instead, d.err = decodeRow(d.b, d.origin); d.err == nil && v.instead.bad {
			d.fail(errRowHash)
		}
	}
	if d.err != nil {
		return nil, fmt.Errorf("verdict: %w", d.err)
	}
	if v.instead != nil {
		v.instead.Key = key
	}
	return v, nil
}

func (t *tx) writeStage(batch Batch) {
	for key, v := range t.stage {
		k := stageKey(t.b.id, []byte(key))
		if v == nil {
			batch.Delete(k)
		} else {
			batch.Set(k, v.encode(t.number))
		}
	}
}

// judge merges what the donor has under the key and compares it with the row
// here. A row that the donor's clock covers, and the donor has not, was deleted
// and its tombstone collected: C2.
func (t *tx) judge(now time.Time, key []byte, p *oplog.Entry, st *Stretch, a *Applied) error {
	if p != nil {
		news, err := t.merge(now, p, a)
		if err != nil {
			return err
		}
		if news {
			if err := t.raiseAhead(p.Dot()); err != nil {
				return err
			}
		}
	}
	s, err := t.slot(key)
	if err != nil {
		return err
	}
	e := s.cur
	switch {
	case e == nil:
		return nil
	case e.bad:
		return t.judgeBad(e, p, st)
	case p != nil && !p.Stamp.Less(e.Stamp):
		return nil
	}
	absent := p == nil || p.Tombstone && p.Stamp.HLC <= st.GCTS
	switch {
	case st.Clock.Covers(e.Dot()):
		v := &verdict{stamp: e.Stamp}
		if p != nil {
			v.instead = newRow(*p)
		}
		t.stage[string(key)] = v
	case !e.Tombstone && absent && e.Stamp.HLC <= max(t.gcts, st.Token.Rec.GCTS):
		if t.b.s.opts.Replica {
			return ErrAmbiguous
		}
		t.stage[string(key)] = &verdict{stamp: e.Stamp, reissue: true}
	}
	return nil
}

// judgeBad is judge for a row that is not what was written. What it says of itself
// is no evidence. If the donor has seen what was written there, what the donor has
// under the key is what belongs there: no repair would bring that once the delete
// is collected. Else a repair may find it.
func (t *tx) judgeBad(e *row, p *oplog.Entry, st *Stretch) error {
	seen, err := t.seenBad(e, st.Clock)
	if err != nil || !seen {
		return err
	}
	v := &verdict{stamp: e.Stamp, bad: true}
	if p != nil {
		v.instead = newRow(*p)
	}
	t.stage[string(e.Key)] = v
	return nil
}

// seenBad reports whether the clock covers the write that a bad row was, for sure:
// it covers all that is here, or the log says that the row was the write that it
// says it was.
func (t *tx) seenBad(e *row, clock oplog.Clock) (bool, error) {
	if clock.GE(t.b.state.clock) && clock.GE(t.b.state.ahead) {
		return true, nil
	}
	if e.torn() || !clock.Covers(e.Dot()) {
		return false, nil
	}
	return t.logNames(e.Dot(), e.Key)
}

// logNames reports whether the log says that the write is the row of the key.
func (t *tx) logNames(d oplog.Dot, key []byte) (bool, error) {
	n, ok := t.b.s.origins.known(d.Origin)
	if !ok {
		return false, nil
	}
	named, ok, err := t.b.s.kv.Get(logKey(t.b.id, n, d.Seq))
	return ok && bytes.Equal(named, key), err
}

// dropStage forgets some verdicts of a reconcile that starts over, and reports
// whether there are more. Its cursor goes back first: what was noted behind it
// is not noted any more.
func (b *Bucket) dropStage() (more bool, err error) {
	if b.state.rec == nil {
		return false, nil
	}
	t := newTx(b)
	lower, upper := bucketRange(tableStage, b.id)
	err = walk(b.s.kv, lower, upper, func(key, _ []byte) error { // unread: one that rotted goes too
		if more = len(t.stage) == compareKeys; more {
			return errMore
		}
		t.stage[string(key[prefixLen:])] = nil
		return nil
	})
	if err != nil && !more {
		return false, b.named(err)
	}
	t.setToken(Token{Claim: b.state.claim, Ahead: b.state.claimAhead, Rec: b.state.rec})
	_, err = t.commit()
	return more, err
}

// errMore ends a walk that has got enough.
var errMore = errors.New("more")

// staged calls each for the first verdicts, a batch of them, and reports whether
// there are more. Each says how many bytes of rows it took.
func (b *Bucket) staged(each func(key []byte, v *verdict) (int, error)) (more bool, err error) {
	lower, upper := bucketRange(tableStage, b.id)
	keys, size := 0, 0
	var failed error // of each: the disk, and no verdict that cannot be read
	err = walk(b.s.kv, lower, upper, func(key, value []byte) error {
		if keys == compareKeys || size >= compareBytes {
			more = true
			return errMore
		}
		key = bytes.Clone(key[prefixLen:])
		v, err := b.decodeVerdict(key, bytes.Clone(value))
		if err != nil {
			return err
		}
		var n int
		n, failed = each(key, v)
		keys, size = keys+1, size+len(value)+n
		return failed
	})
	if more || failed != nil {
		return more, failed
	}
	return false, b.named(err)
}

// eachVerdict calls each for all verdicts. One that cannot be read is left out.
func (b *Bucket) eachVerdict(each func(v *verdict) error) error {
	lower, upper := bucketRange(tableStage, b.id)
	var failed error
	err := walk(b.s.kv, lower, upper, func(key, value []byte) error {
		if v, err := b.decodeVerdict(bytes.Clone(key[prefixLen:]), bytes.Clone(value)); err == nil {
			failed = each(v)
		}
		return failed
	})
	if failed != nil {
		return failed
	}
	return b.named(err)
}

// execute carries out one verdict. What it takes away is kept for a while: that a
// donor has it no more is no proof that somebody deleted it. It returns the size
// of the row that was there.
func (t *tx) execute(now time.Time, key []byte, v *verdict, a *Applied) (size int, err error) {
	s, err := t.slot(key)
	switch {
	case err != nil || s.cur == nil:
		return 0, err
	case s.cur.Stamp != v.stamp || v.bad && !s.cur.bad:
		return len(s.cur.Value), nil // overwritten or repaired since
	}
	size = len(s.cur.Value)
	if v.reissue && s.cur.bad {
		return size, nil // it is not what somebody wrote
	}
	if v.reissue {
		return size, t.reissue(now, s, a)
	}
	if !s.cur.Tombstone && !s.cur.bad {
		l := Lost{At: now, Entry: s.cur.Entry, Winner: s.cur.Stamp, Removed: true}
		if v.instead != nil {
			l.Winner = v.instead.Stamp
		}
		t.lost = append(t.lost, l)
	}
	if v.instead != nil {
		t.put(s, v.instead)
	} else {
		t.drop(s)
	}
	return size, nil
}
