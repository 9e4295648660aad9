package store

import (
	"bytes"
	"encoding/binary"
	"errors"

	"replicator/oplog"
)

// A Token is how far a key-ordered pull came: all keys up to Cursor are here as
// far as Claim covers them. Any peer can go on behind it.
type Token struct {
	Cursor []byte
	Claim  oplog.Clock
	Ahead  oplog.Clock // the donors' extras up to here came too; nil like empty
	Rec    *Reconcile  // set if the pull is a reconcile
}

// A tokenChange is what a tx does to the token. The claim lies beside the
// cursor, so that a page does not have to write a large clock again.
type tokenChange struct {
	set        bool
	cursor     []byte
	claim      oplog.Clock // nil: the token goes
	ahead      oplog.Clock
	rec        *Reconcile
	writeClaim bool
	writeAhead bool
	writeRec   bool
}

func (t *tx) setToken(tok Token) {
	st := &t.b.state
	c := tokenChange{set: true, cursor: bytes.Clone(tok.Cursor), claim: st.claim, ahead: st.claimAhead, rec: st.rec}
	if st.claim == nil || !st.claim.Equal(tok.Claim) {
		c.claim, c.writeClaim = tok.Claim.Clone(), true
	}
	if !st.claimAhead.Equal(tok.Ahead) {
		c.ahead, c.writeAhead = tok.Ahead.Clone(), true
	}
	if !st.rec.equal(tok.Rec) {
		c.rec, c.writeRec = tok.Rec.clone(), true
	}
	t.token = c
	t.dirty = true
}

func (t *tx) dropToken() {
	if t.b.state.claim != nil {
		t.token = tokenChange{set: true}
		t.dirty = true
	}
}

func (t *tx) writeToken(batch Batch) {
	if !t.token.set {
		return
	}
	if t.token.claim == nil {
		for part := range byte(tokenParts) {
			batch.Delete(tokenKey(t.b.id, part))
		}
		return
	}
	batch.Set(tokenKey(t.b.id, tokenCursor), t.token.cursor)
	if t.token.writeClaim {
		batch.Set(tokenKey(t.b.id, tokenClaim), t.encodeClock(t.token.claim))
	}
	if t.token.writeAhead {
		batch.Set(tokenKey(t.b.id, tokenAhead), t.encodeClock(t.token.ahead))
	}
	if t.token.writeRec {
		t.writeRec(batch)
	}
}

func (t *tx) encodeClock(c oplog.Clock) []byte {
	b := make([]byte, 0, 12*len(c))
	for _, o := range c.Origins() {
		b = binary.BigEndian.AppendUint32(b, t.number(o))
		b = binary.BigEndian.AppendUint64(b, c[o])
	}
	return b
}

func (b *Bucket) loadClaim() error {
	var err error
	if b.state.claim, err = b.readClock(tokenKey(b.id, tokenClaim)); err != nil || b.state.claim == nil {
		return err
	}
	if b.state.claimAhead, err = b.readClock(tokenKey(b.id, tokenAhead)); err != nil {
		return err
	}
	b.state.rec, err = b.loadRec()
	return err
}

// readClock reads what encodeClock wrote, nil if there is nothing.
func (b *Bucket) readClock(key []byte) (oplog.Clock, error) {
	v, ok, err := b.s.kv.Get(key)
	if err != nil || !ok {
		return nil, err
	}
	clock := oplog.Clock{}
	for ; len(v) >= 12; v = v[12:] {
		o, ok := b.s.origins.origin(binary.BigEndian.Uint32(v))
		if !ok {
			break
		}
		clock[o] = binary.BigEndian.Uint64(v[4:])
	}
	if len(v) > 0 {
		return nil, &CorruptError{Bucket: b.name, Key: key, Reason: "part of a token that is no clock"}
	}
	return clock, nil
}

// Token returns a copy of the stored token, if there is one.
func (b *Bucket) Token() (Token, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.claim == nil {
		return Token{}, false, nil
	}
	cursor, ok, err := b.s.kv.Get(tokenKey(b.id, tokenCursor))
	if err == nil && !ok {
		err = errors.New("store: token without a cursor")
	}
	if err != nil {
		return Token{}, false, err
	}
	return Token{Cursor: cursor, Claim: b.state.claim.Clone(), Ahead: b.state.claimAhead.Clone(), Rec: b.state.rec.clone()}, true, nil
}
