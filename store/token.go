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
}

// A tokenChange is what a tx does to the token. The claim lies beside the
// cursor, so that a page does not have to write a large clock again.
type tokenChange struct {
	set        bool
	cursor     []byte
	claim      oplog.Clock // nil: the token goes
	writeClaim bool
}

func (t *tx) setToken(tok Token) {
	stored := t.b.state.claim
	write := stored == nil || !stored.Equal(tok.Claim)
	claim := stored
	if write {
		claim = tok.Claim.Clone()
	}
	t.token = tokenChange{set: true, cursor: bytes.Clone(tok.Cursor), claim: claim, writeClaim: write}
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
	cursor, claim := tokenKeys(t.b.id)
	if t.token.claim == nil {
		batch.Delete(cursor)
		batch.Delete(claim)
		return
	}
	batch.Set(cursor, t.token.cursor)
	if t.token.writeClaim {
		batch.Set(claim, t.encodeClaim(t.token.claim))
	}
}

func (t *tx) encodeClaim(c oplog.Clock) []byte {
	b := make([]byte, 0, 12*len(c))
	for _, o := range c.Origins() {
		b = binary.BigEndian.AppendUint32(b, t.number(o))
		b = binary.BigEndian.AppendUint64(b, c[o])
	}
	return b
}

func (b *Bucket) loadClaim() error {
	_, key := tokenKeys(b.id)
	v, ok, err := b.s.kv.Get(key)
	if err != nil || !ok {
		return err
	}
	claim := oplog.Clock{}
	for ; len(v) >= 12; v = v[12:] {
		o, ok := b.s.origins.origin(binary.BigEndian.Uint32(v))
		if !ok {
			break
		}
		claim[o] = binary.BigEndian.Uint64(v[4:])
	}
	if len(v) > 0 {
		return &CorruptError{Bucket: b.name, Key: key, Reason: "token that is no clock"}
	}
	b.state.claim = claim
	return nil
}

// SaveToken stores the token of a pull that begins or was taken over.
func (b *Bucket) SaveToken(tok Token) error {
	if err := checkClaim(tok.Claim); err != nil {
		return err
	}
	if len(tok.Cursor) > oplog.MaxKey {
		return &LimitError{What: "bytes of a cursor", Size: int64(len(tok.Cursor)), Limit: oplog.MaxKey}
	}
	return b.changeToken(func(t *tx) { t.setToken(tok) })
}

// DropToken forgets the token.
func (b *Bucket) DropToken() error { return b.changeToken((*tx).dropToken) }

func (b *Bucket) changeToken(change func(*tx)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.s.writable(); err != nil {
		return err
	}
	t := newTx(b)
	change(t)
	_, err := t.commit()
	return err
}

// Token returns a copy of the stored token, if there is one.
func (b *Bucket) Token() (Token, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.claim == nil {
		return Token{}, false, nil
	}
	key, _ := tokenKeys(b.id)
	cursor, ok, err := b.s.kv.Get(key)
	if err == nil && !ok {
		err = errors.New("store: token without a cursor")
	}
	if err != nil {
		return Token{}, false, err
	}
	return Token{Cursor: cursor, Claim: b.state.claim.Clone()}, true, nil
}
