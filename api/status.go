package api

import (
	"fmt"
	"time"
)

// A Status tells how a node stands. It is what status --json prints.
type Status struct {
	Node    string         `json:"node"`
	Role    string         `json:"role"` // master or replica
	Version string         `json:"version"`
	Ready   bool           `json:"ready"`
	Online  bool           `json:"online"`          // connected to NATS
	Fenced  string         `json:"fenced"`          // why writes are refused; empty: they are not
	NoWrite string         `json:"read_only"`       // why the store takes no writes; empty: it does
	Joins   []string       `json:"joins,omitempty"` // the buckets it is set to hold, by name or pattern; none: every bucket heard of
	Left    []string       `json:"left,omitempty"`  // those it was told to hold no more
	Buckets []BucketStatus `json:"buckets"`
	Peers   []PeerStatus   `json:"peers"`
	Members []MemberStatus `json:"members"`
	Fleet   *BucketStatus  `json:"fleet"` // the bucket in which nodes keep what concerns them all
}

// The roles of nodes.
const (
	RoleMaster  = "master"
	RoleReplica = "replica" // pulls and follows live, never writes
)

// Role names the role of a node.
func Role(replica bool) string {
	if replica {
		return RoleReplica
	}
	return RoleMaster
}

// A BucketStatus tells how one bucket of a node stands.
type BucketStatus struct {
	Name       string            `json:"name"`
	Keys       uint64            `json:"keys"`
	Tombstones uint64            `json:"tombstones"`    // deleted keys that some member may not know of
	Clock      map[string]uint64 `json:"clock"`         // by origin, as node/epoch
	Ended      int               `json:"ended_origins"` // of those, known to be written no more
	Hash       string            `json:"hash"`          // 16 hex digits, see Hex
	Pure       bool              `json:"pure"`
	CatchingUp bool              `json:"catching_up"`
	Conflicts  uint64            `json:"conflicts"` // seen since the start: concurrent writes of one key, whoever lost
	Reconcile  bool              `json:"reconciling"`
	Doubt      *Doubt            `json:"doubt"` // why the reconcile, or a replica that is to be emptied, waits; nil: it does not
	Pull       *PullStatus       `json:"pull"`  // nil: none is running
	Peers      []BucketPeer      `json:"peers"`
	Bad        int               `json:"bad_rows"` // known not to be what was written
	Scrub      ScrubStatus       `json:"scrub"`
}

// A PullStatus tells how far a running pull has come.
type PullStatus struct {
	Donor      string  `json:"donor"`
	Keys       uint64  `json:"keys"`  // received
	Bytes      uint64  `json:"bytes"` // received
	Rows       uint64  `json:"rows"`  // announced by the donor
	ETASeconds float64 `json:"eta_seconds"`
}

// A BucketPeer tells how a bucket at a peer stands, as far as this node heard.
type BucketPeer struct {
	Node     string    `json:"node"`
	Live     bool      `json:"live"` // heard lately, and not stopping
	InSync   bool      `json:"in_sync"`
	Diverges bool      `json:"divergent,omitempty"` // the same clock as here, and other rows
	Behind   *uint64   `json:"behind"`              // own writes of the peer that are missing here; nil: not known
	LastSeen time.Time `json:"last_seen"`
}

// A PeerStatus tells of another node that was heard.
type PeerStatus struct {
	Node     string    `json:"node"`
	Role     string    `json:"role"` // master or replica
	Version  string    `json:"version"`
	LastSeen time.Time `json:"last_seen"`
	Live     bool      `json:"live"`               // heard lately, and not stopping
	Stopping bool      `json:"stopping,omitempty"` // its last words were a goodbye
	OffsetMS int64     `json:"offset_ms"`          // of its wall clock against this node's, travel time included
}

// A BucketDigest is what verify compares: one fsynced state of a bucket.
type BucketDigest struct {
	Bucket string            `json:"bucket"`
	Clock  map[string]uint64 `json:"clock"` // by origin, as node/epoch
	Ahead  string            `json:"ahead"` // hash of the extras, see Hex
	Hash   string            `json:"hash"`  // hash of the rows, see Hex
	Keys   uint64            `json:"keys"`
	Pure   bool              `json:"pure"`

	ClockHash string      `json:"clock_hash"`     // see Hex
	Bad       int         `json:"bad"`            // rows known not to be what was written
	Scrub     ScrubStatus `json:"scrub"`          // when all rows were read last
	Sums      []string    `json:"sums,omitempty"` // see VerifyOptions
	Rows      []RowDigest `json:"rows,omitempty"` // likewise
	More      bool        `json:"more,omitempty"` // there are more rows than were told
}

// Hex writes a hash as people read it, in 16 digits.
func Hex(hash uint64) string { return fmt.Sprintf("%016x", hash) }
