package store

import (
	"fmt"
	"time"

	"replicator/oplog"
)

// ApplyPage merges one page of a pull in one batch: the entries become extras,
// the clock stays. A token given is stored with them, nil leaves the stored one
// as it is. One malformed entry refuses the whole page. It does not sync.
func (b *Bucket) ApplyPage(now time.Time, entries []oplog.Entry, token *Token) (Applied, error) {
	for i := range entries {
		if err := check(&entries[i]); err != nil {
			return Applied{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.s.writable(); err != nil {
		return Applied{}, err
	}
	if b.state.rec != nil {
		return Applied{}, ErrReconciling
	}
	t := newTx(b)
	var a Applied
	for i := range entries {
		news, err := t.merge(now, &entries[i], &a)
		if err != nil {
			return Applied{}, err
		}
		if news {
			if err := t.raiseAhead(entries[i].Dot()); err != nil {
				return Applied{}, err
			}
		}
	}
	if token != nil {
		t.setToken(*token)
	}
	return t.applied(a)
}

// EndPull ends a whole pull in one batch: the clock is joined with the claim,
// extras under it are extras no more, the token goes. It does not sync.
func (b *Bucket) EndPull(_ time.Time, claim oplog.Clock) error {
	if err := checkClaim(claim); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.s.writable(); err != nil {
		return err
	}
	if b.state.rec != nil {
		return ErrReconciling
	}
	t := newTx(b)
	for o, seq := range claim {
		if o == b.s.origin() && seq > t.seq(o) {
			b.s.retire(o) // somebody else wrote as the own origin
		}
		if err := t.raiseClock(o, seq); err != nil {
			return err
		}
	}
	t.dropToken()
	_, err := t.commit()
	return err
}

func checkClaim(claim oplog.Clock) error {
	if len(claim) > oplog.MaxClock {
		return &LimitError{What: "origins in a clock", Size: int64(len(claim)), Limit: oplog.MaxClock}
	}
	for o, seq := range claim {
		if !oplog.ValidName(o.Node) || o.Epoch == 0 {
			return &MalformedError{Dot: oplog.Dot{Origin: o, Seq: seq}, Err: fmt.Errorf("clock of an impossible origin")}
		}
	}
	return nil
}
