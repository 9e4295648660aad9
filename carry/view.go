package carry

import (
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// A View answers the engine's questions from the store's memory.
type View struct{ Store *store.Store }

var _ syncer.Store = View{}

// Durable returns the digest of the bucket's last fsynced state.
func (v View) Durable(bucket string) oplog.Digest {
	if b, ok := v.Store.Bucket(bucket); ok {
		d := b.Durable()
		d.Bucket = bucket
		return d
	}
	return oplog.Digest{Bucket: bucket}
}

// Covered returns the row of one origin in the bucket's clock.
func (v View) Covered(bucket string, o oplog.Origin) oplog.Seq {
	if b, ok := v.Store.Bucket(bucket); ok {
		return b.Seq(o)
	}
	return 0
}

// DurableState returns digest and clock of the bucket's last fsynced state.
func (v View) DurableState(bucket string) (oplog.Digest, oplog.Clock) {
	if b, ok := v.Store.Bucket(bucket); ok {
		return b.DurableState()
	}
	return oplog.Digest{Bucket: bucket}, oplog.Clock{}
}

// Collectable reports whether the bucket holds what could be collected one day.
func (v View) Collectable(bucket string) bool {
	b, ok := v.Store.Bucket(bucket)
	if !ok {
		return false
	}
	some, err := b.Collectable()
	return err == nil && some // one that cannot be read fails louder elsewhere
}

// Clock returns a copy of the bucket's clock.
func (v View) Clock(bucket string) oplog.Clock {
	if b, ok := v.Store.Bucket(bucket); ok {
		return b.Clock()
	}
	return oplog.Clock{}
}

// Ahead returns a copy of the bucket's extras.
func (v View) Ahead(bucket string) oplog.Clock {
	if b, ok := v.Store.Bucket(bucket); ok {
		return b.Ahead()
	}
	return oplog.Clock{}
}

// ClockHash returns the hash of the bucket's clock.
func (v View) ClockHash(bucket string) oplog.ClockHash {
	if b, ok := v.Store.Bucket(bucket); ok {
		return *b.ClockParts()
	}
	return oplog.ClockHash{}
}

// Sums returns what a repair of the bucket compares.
func (v View) Sums(bucket string) syncer.Sums {
	if b, ok := v.Store.Bucket(bucket); ok {
		return syncer.Sums(b.Sums())
	}
	return syncer.Sums{}
}

// BadRows returns how many rows of the bucket are known to be bad.
func (v View) BadRows(bucket string) int {
	if b, ok := v.Store.Bucket(bucket); ok {
		return b.BadRows()
	}
	return 0
}

// Token returns the token of the bucket's unfinished pull.
func (v View) Token(bucket string) (syncer.Token, bool) {
	b, ok := v.Store.Bucket(bucket)
	if !ok {
		return syncer.Token{}, false
	}
	// A token that cannot be read is as good as none: the pull starts over.
	t, ok, err := b.Token()
	token := syncer.Token{Cursor: t.Cursor, Claim: t.Claim, Ahead: t.Ahead}
	if t.Rec != nil {
		token.Gate = &syncer.Gate{GCV: t.Rec.GCV, GCTS: t.Rec.GCTS}
	}
	return token, ok && err == nil
}
