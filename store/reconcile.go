package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"replicator/oplog"
)

// A Reconcile is what the donors of one have collected: their gates and guards
// joined, which become part of the own ones when it ends.
type Reconcile struct {
	GCV  oplog.Clock
	GCTS oplog.HLC

	// sweeping: all was compared, and the verdicts are being carried out.
	sweeping bool
}

func (r *Reconcile) clone() *Reconcile {
	if r == nil {
		return nil
	}
	return &Reconcile{GCV: r.GCV.Clone(), GCTS: r.GCTS, sweeping: r.sweeping}
}

func (r *Reconcile) equal(o *Reconcile) bool {
	if r == nil || o == nil {
		return r == o
	}
	return r.GCTS == o.GCTS && r.sweeping == o.sweeping && r.GCV.Equal(o.GCV)
}

const recV1 = 1

func (t *tx) writeRec(batch Batch) {
	guard, gate := tokenKey(t.b.id, tokenGuard), tokenKey(t.b.id, tokenGate)
	r := t.token.rec
	if r == nil {
		batch.Delete(guard)
		batch.Delete(gate)
		return
	}
	v := []byte{recV1, 0}
	if r.sweeping {
		v[1] = 1
	}
	batch.Set(guard, binary.BigEndian.AppendUint64(v, uint64(r.GCTS)))
	batch.Set(gate, t.encodeClock(r.GCV))
}

// loadRec reads the state of a reconcile, nil if there is none.
func (b *Bucket) loadRec() (*Reconcile, error) {
	key := tokenKey(b.id, tokenGuard)
	v, ok, err := b.s.kv.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	if len(v) != 10 || v[0] != recV1 || v[1] > 1 {
		return nil, &CorruptError{Bucket: b.name, Key: key, Reason: "guard of a reconcile of a wrong size or version"}
	}
	r := &Reconcile{GCTS: oplog.HLC(binary.BigEndian.Uint64(v[2:])), sweeping: v[1] == 1}
	if r.GCV, err = b.readClock(tokenKey(b.id, tokenGate)); err == nil && r.GCV == nil {
		err = &CorruptError{Bucket: b.name, Key: key, Reason: "reconcile without a gate"}
	}
	return r, err
}

// A Stretch is a part of a donor's snapshot, as a reconcile compares it: all
// its rows with keys behind After up to Token.Cursor.
type Stretch struct {
	After   []byte        // where the stretch before ended; empty for the first of a reconcile
	Entries []oplog.Entry // in order of key
	Token   Token         // with Rec; Cursor is where this stretch ends
	Clock   oplog.Clock   // of the donor's snapshot
	GCTS    oplog.HLC     // its guard
	HLC     oplog.HLC     // the highest timestamp it knows
	Last    bool          // nothing lies behind this stretch: Cursor is no bound
	Accept  Consent       // to what goes at the end
}

// A batch of a reconcile compares or sweeps so many keys at most, with about so
// many bytes of rows.
const (
	compareKeys  = 1024
	compareBytes = 8 << 20
)

// Reconciling reports whether a reconcile has begun and not ended. Until it
// ends the bucket takes no entries by another road.
func (b *Bucket) Reconciling() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.rec != nil
}

// Compare takes one stretch of a reconcile: it merges what the donor has and
// notes, for EndReconcile, which rows here the donor has seen deleted. The
// first one of a reconcile begins it, or lets it start over. It commits a few
// batches, and the token with each. It does not sync. Rules C1 to C3.
func (b *Bucket) Compare(now time.Time, s Stretch) (Applied, error) {
	var a Applied
	err := s.check()
	if err == nil {
		err = b.compare(now, &s, &a)
	}
	return a, err
}

func (s *Stretch) check() error {
	if err := checkClaim(s.Token.Claim); err != nil {
		return err
	}
	if s.Token.Rec == nil {
		return errors.New("store: stretch of no reconcile")
	}
	if high := max(s.GCTS, s.Token.Rec.GCTS); high > maxGuard {
		return &MalformedError{Err: fmt.Errorf("guard %d is above %d", uint64(high), uint64(maxGuard))}
	}
	at := s.After
	for i := range s.Entries {
		e := &s.Entries[i]
		if err := check(e); err != nil {
			return err
		}
		if bytes.Compare(e.Key, at) <= 0 || !s.Last && bytes.Compare(e.Key, s.Token.Cursor) > 0 {
			return &MalformedError{Dot: e.Dot(), Err: errors.New("key out of order")}
		}
		at = e.Key
	}
	if !s.Last && bytes.Compare(s.Token.Cursor, at) < 0 {
		return errors.New("store: stretch that ends before it begins")
	}
	return nil
}

// enter checks that the stretch goes on where the batch before ended.
func (b *Bucket) enter(s *Stretch) error {
	switch {
	case len(s.After) == 0:
		return nil
	case b.state.rec == nil:
		return ErrOutOfOrder
	}
	cursor, _, err := b.s.kv.Get(tokenKey(b.id, tokenCursor))
	if err == nil && !bytes.Equal(cursor, s.After) {
		err = ErrOutOfOrder
	}
	return err
}

// compare takes the stretch batch by batch. Between two of them others get
// their turn: a stretch may be the whole bucket. One that comes after a sweep
// was broken off ends that instead, and fits no more: starting over would forget
// verdicts whose rows are half gone.
func (b *Bucket) compare(now time.Time, s *Stretch, a *Applied) error {
	if swept, err := b.finishSweep(now, a); err != nil {
		return err
	} else if swept {
		return ErrOutOfOrder
	}
	if len(s.After) == 0 {
		if err := b.eachBatch(b.dropStage); err != nil {
			return err
		}
	}
	return b.eachBatch(func() (bool, error) { return b.compareSome(now, s, a) })
}

// eachBatch runs step, with the bucket locked, until it has nothing more to do.
func (b *Bucket) eachBatch(step func() (more bool, err error)) error {
	for more := true; more; {
		var err error
		if more, err = b.oneBatch(step); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bucket) oneBatch(step func() (bool, error)) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return false, err
	}
	return step()
}

func (b *Bucket) compareSome(now time.Time, s *Stretch, a *Applied) (more bool, err error) {
	if err := b.enter(s); err != nil {
		return false, err
	}
	keys, more, err := b.union(s)
	if err != nil {
		return false, err
	}
	t := newTx(b)
	t.rec = s.Token.Rec
	t.follow(now, s.HLC)
	for _, key := range keys {
		var p *oplog.Entry
		if len(s.Entries) > 0 && bytes.Equal(s.Entries[0].Key, key) {
			p, s.Entries = &s.Entries[0], s.Entries[1:]
		}
		if err := t.judge(now, key, p, s, a); err != nil {
			return false, err
		}
	}
	tok := s.Token
	if more || s.Last && len(keys) > 0 {
		tok.Cursor = keys[len(keys)-1]
	} else if s.Last {
		tok.Cursor = s.After
	}
	t.setToken(tok)
	changes, err := t.commit()
	if err != nil {
		return false, err
	}
	a.Changes = append(a.Changes, changes...)
	s.After = tok.Cursor
	return more, nil
}

// union returns the next keys that either side has in the stretch.
func (b *Bucket) union(s *Stretch) (keys [][]byte, more bool, err error) {
	lower, upper := bucketRange(tableData, b.id)
	if len(s.After) > 0 {
		lower = append(dataKey(b.id, s.After), 0)
	}
	if !s.Last {
		upper = append(dataKey(b.id, s.Token.Cursor), 0)
	}
	it, err := b.s.kv.Iter(lower, upper)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = it.Close() }()
	theirs := s.Entries
	ok, size := it.First(), 0
	for ok || len(theirs) > 0 {
		if len(keys) == compareKeys || size >= compareBytes {
			return keys, true, nil
		}
		order := 1
		if ok {
			order = -1
			if len(theirs) > 0 {
				order = bytes.Compare(it.Key()[prefixLen:], theirs[0].Key)
			}
		}
		if order <= 0 {
			keys = append(keys, bytes.Clone(it.Key()[prefixLen:]))
			size += len(it.Value())
			ok = it.Next()
		} else {
			keys = append(keys, theirs[0].Key)
		}
		if order >= 0 {
			theirs = theirs[1:]
		}
	}
	return keys, false, it.Err()
}

// follow lets the own clock follow a timestamp, but no further than maxDrift
// before the wall clock.
func (t *tx) follow(now time.Time, hlc oplog.HLC) {
	if hlc = min(hlc, oplog.HLCAt(now).Add(t.b.s.opts.MaxDrift)); hlc > t.hlc {
		t.hlc = hlc
		t.dirty = true
	}
}

// EndReconcile takes the last stretch of a reconcile, of which no key is above
// the donor's last, and carries out what was noted: rows that the donors have
// seen deleted go, others that they never saw are written anew, the clock is
// joined with the claim, gate and guard with theirs, ahead as in EndPull. It does not sync. A crash
// in between is made up for by Open, an error, as of a full disk, by the next
// Compare or EndReconcile, which then answers ErrOutOfOrder. Nothing is carried
// out, and a *DoubtfulError returned, if more rows would go than may. Rules C5
// and C7.
func (b *Bucket) EndReconcile(now time.Time, s Stretch, ahead oplog.Clock) (Applied, error) {
	var a Applied
	s.Last = true
	err := errors.Join(s.check(), checkClaim(ahead))
	if err == nil {
		err = b.compare(now, &s, &a)
	}
	if err == nil {
		err = b.believes(s.Accept)
	}
	if err == nil {
		err = b.sweep(now, ahead, &a)
	}
	return a, err
}

// sweep carries out the verdicts, batch by batch; the last one ends the
// reconcile. In between nobody is shown a snapshot or told a digest: they would
// be of a half.
func (b *Bucket) sweep(now time.Time, ahead oplog.Clock, a *Applied) error {
	return b.eachBatch(func() (bool, error) { return b.sweepSome(now, ahead, a) })
}

func (b *Bucket) sweepSome(now time.Time, ahead oplog.Clock, a *Applied) (more bool, err error) {
	if b.state.rec == nil {
		return false, ErrOutOfOrder
	}
	t := newTx(b)
	more, err = b.staged(func(key []byte, v *verdict) (int, error) {
		t.stage[string(key)] = nil
		return t.execute(now, key, v, a)
	})
	if err != nil {
		return false, err
	}
	rec := b.state.rec.clone()
	rec.sweeping = true
	if more {
		t.setToken(Token{Claim: b.state.claim, Ahead: b.state.claimAhead, Rec: rec})
	} else {
		t.raiseGate(rec.GCV, rec.GCTS)
		if err := t.join(b.state.claim, ahead); err != nil {
			return false, err
		}
		t.dropToken()
	}
	changes, err := t.commit()
	if err != nil {
		return false, err
	}
	a.Changes = append(a.Changes, changes...)
	if !more {
		a.Gate = rec.GCV
	}
	return more, nil
}

// finishSweep carries a sweep that was broken off to its end, if there is one.
func (b *Bucket) finishSweep(now time.Time, a *Applied) (swept bool, err error) {
	b.mu.Lock()
	swept = b.sweeping()
	b.mu.Unlock()
	if swept {
		err = b.sweep(now, nil, a)
	}
	return swept, err
}

// replicaMaySweep sees to it that a replica has no verdict to write a row anew, which
// it could not carry out. Only a master notes one: the store was opened as such then.
func (b *Bucket) replicaMaySweep() error {
	if !b.s.opts.Replica || b.state.rec == nil {
		return nil
	}
	err := b.eachVerdict(func(v *verdict) error {
		if v.reissue {
			return ErrAmbiguous
		}
		return nil
	})
	switch {
	case !errors.Is(err, ErrAmbiguous):
		return err
	case b.sweeping():
		return fmt.Errorf("bucket %s: a reconcile was broken off that has to write, which a replica does not: start the node as a master, which it stays then, or with an empty folder: %w", b.name, ErrAmbiguous)
	}
	return b.eachBatch(b.dropStage)
}

// sweeping reports whether rows are between two states: b.mu must be held.
func (b *Bucket) sweeping() bool { return b.state.rec != nil && b.state.rec.sweeping }
