package store

import (
	"errors"
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
	if err := b.writable(); err != nil {
		return Applied{}, err
	}
	if b.state.rec != nil {
		return Applied{}, ErrReconciling
	}
	t := newTx(b)
	keys := make([][]byte, len(entries))
	for i := range entries {
		keys[i] = entries[i].Key
	}
	if err := t.load(keys); err != nil {
		return Applied{}, err
	}
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
//
// ahead are the extras of the donor. All of them, or what beat them, came with
// the pull, so they count as extras here too: one that was overwritten has no
// row to tell of it, and the digests of two nodes would differ for ever.
func (b *Bucket) EndPull(_ time.Time, claim, ahead oplog.Clock) error {
	if err := errors.Join(checkClaim(claim), checkClaim(ahead)); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.writable(); err != nil {
		return err
	}
	if b.state.rec != nil {
		return ErrReconciling
	}
	t := newTx(b)
	if err := t.join(claim, ahead); err != nil {
		return err
	}
	t.dropToken()
	_, err := t.commit()
	return err
}

// join takes over what a donor covered and held above that.
func (t *tx) join(claim, ahead oplog.Clock) error {
	if own := t.b.s.origin(); max(claim[own], ahead[own]) > t.seq(own) {
		t.b.s.retire(own) // somebody else wrote as the own origin
	}
	for o, seq := range claim {
		if err := t.raiseClock(o, seq); err != nil {
			return err
		}
	}
	for o, seq := range ahead {
		if seq > t.seq(o) {
			if err := t.raiseAhead(oplog.Dot{Origin: o, Seq: seq}); err != nil {
				return err
			}
		}
	}
	return nil
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
