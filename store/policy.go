package store

import (
	"fmt"

	"replicator/oplog"
)

// A Policy says what is written in place of a put that may be older than a
// delete which was collected: rule M3. All of them are writes of this node that
// replicate as any other, so the fleet agrees whatever each node has.
type Policy string

// The policies.
const (
	Keep   Policy = "keep"   // the put once more: nothing unseen is lost, a deleted key may come back
	Delete Policy = "delete" // a delete: no deleted key comes back, the put is lost
	Park   Policy = "park"   // a delete, and the put is kept beside the lost writes: see Bucket.Lost
)

// ParsePolicy reads the name of a policy; empty is Keep.
func ParsePolicy(s string) (Policy, error) {
	switch p := Policy(s); p {
	case "":
		return Keep, nil
	case Keep, Delete, Park:
		return p, nil
	}
	return "", fmt.Errorf("store: policy %q: want keep, delete or park", s)
}

// SetAmbiguous has the bucket follow a policy of its own; empty stands for that of the
// store's options.
func (b *Bucket) SetAmbiguous(p Policy) { b.policy.Store(&p) }

func (b *Bucket) ambiguous() Policy {
	if p := b.policy.Load(); p != nil && *p != "" {
		return *p
	}
	return b.s.opts.Ambiguous
}

// An Ambiguity is a put that may be older than a delete which was collected
// here, and what was written in its place.
type Ambiguity struct {
	Received oplog.Entry
	Issued   oplog.Entry // a tombstone with the policies Delete and Park
}
