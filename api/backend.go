package api

import (
	"context"
	"iter"
	"time"

	"replicator/oplog"
)

// A Backend is the node behind the service. Its errors reach clients as they
// are where they are, or wrap, an *Error, and as internal ones otherwise. All
// methods may be called concurrently; names of buckets were checked.
type Backend interface {
	// Name is the name of the node.
	Name() string
	// Ready reports whether the node can serve requests now.
	Ready() bool
	// Replica reports whether the node takes no writes. It never changes.
	Replica() bool
	// Version is the version of the program, as SemVer where it is one.
	Version() string
	// Get returns the live row of key, ErrNotFound or ErrNoBucket. The caller
	// does not change the entry's slices.
	Get(ctx context.Context, bucket string, key []byte) (oplog.Entry, error)
	// DeletePrefix deletes up to limit keys that begin so and lie behind after, each
	// delete a write of its own. It returns how many it deleted and, if there may be
	// more, the last one.
	DeletePrefix(ctx context.Context, bucket string, prefix, after []byte, limit int) (deleted int, last []byte, err error)
	// Write takes ops as writes of this node and returns one result for each,
	// in order, once they are as durable as the node is set to make them. Its
	// own error means that nothing is known to be written. It may keep the
	// slices of ops.
	Write(ctx context.Context, bucket string, ops []WriteOp, o WriteOptions) ([]WriteResult, error)
	// Scan yields the live rows of a bucket in order of their keys, from one
	// snapshot. Slices are valid until the next row.
	Scan(ctx context.Context, bucket string, o ScanOptions) iter.Seq2[oplog.Entry, error]
	// Watch yields changes of rows from the moment it returns, before the
	// sequence is run, so that whoever waits for it misses nothing. A sequence
	// is run once; the end of ctx releases one that never was.
	Watch(ctx context.Context, bucket string, o WatchQuery) iter.Seq2[WatchEvent, error]
	// Reached returns once the node has seen the writes, or has them on its disk:
	// ErrBehind if that is not so when ctx ends.
	Reached(ctx context.Context, bucket string, tokens []oplog.Dot, durable bool) error
	// Held asks the members of a bucket that q wants, this node among them, whether they
	// have the writes on their disks, as Quorum.Hold does. That some have not is no
	// error.
	Held(ctx context.Context, bucket string, q Quorum, tokens []oplog.Dot) (Holding, error)
	// Status tells how the node stands.
	Status(ctx context.Context) Status
	// Verify returns the digest of one fsynced state of the bucket, or of each
	// bucket held where bucket is empty, with what o asks for.
	Verify(ctx context.Context, bucket string, o VerifyOptions) ([]BucketDigest, error)
	// Sync pulls the bucket, or all where it is empty, from every live peer and
	// has them pull from this node, until nothing is missing on either side.
	// It reports by calling progress, which does not block, from one goroutine.
	Sync(ctx context.Context, bucket string, progress func(SyncProgress)) error
	// Conflicts yields the node's own writes that lost a conflict and are kept,
	// the oldest first.
	Conflicts(ctx context.Context, bucket string) iter.Seq2[Lost, error]
	// TakeConflict writes one of them again and takes it off the list.
	// ErrNotFound if it is not there.
	TakeConflict(ctx context.Context, bucket string, dot oplog.Dot) (oplog.Stamp, error)
	// Leave has the node leave the fleet for good, once the others have all it
	// has or, if now is set, at once. ErrNotHandedOver if ctx ends before.
	Leave(ctx context.Context, now bool) error
	// Forget retires another node; ErrNoMember if nobody knows it, ErrMemberLive
	// if it was heard lately and force is not set.
	Forget(ctx context.Context, node string, force bool) error
	// Readmit takes back what Leave or Forget has done. ErrNoMember if the node
	// was not retired.
	Readmit(ctx context.Context, node string) error
	// Collect drops the tombstones of the bucket, of all where it is empty, that
	// are older than age, whoever may not have them.
	Collect(ctx context.Context, bucket string, age time.Duration) ([]BucketCollected, error)
	// CreateBucket has the node hold a bucket. ErrMayNotCreate if nobody holds it yet
	// and none may be made here.
	CreateBucket(ctx context.Context, bucket string) error
	// LeaveBucket has the node give up a bucket, once others have all of it or, if now
	// is set, at once. ErrNotHandedOver if ctx ends before.
	LeaveBucket(ctx context.Context, bucket string, now bool) error
	// Settings returns what is settled for buckets, by name or pattern. The map is the
	// caller's.
	Settings() map[string]BucketSettings
	// SetBuckets replaces the settings of a name or pattern, which were checked.
	SetBuckets(ctx context.Context, pattern string, s BucketSettings) error
	// AcceptReconcile lets a reconcile of the bucket that waits remove its rows,
	// and tells how many. ErrNoDoubt if none waits.
	AcceptReconcile(ctx context.Context, bucket string, seen Doubt) (Doubt, error)
}

// A WriteOp puts a value or deletes a key.
type WriteOp struct {
	Key, Value []byte
	Delete     bool
	Expiry     int64     // milliseconds since 1970; 0: never
	Type       string    // content type of the value; empty: not said
	If         Condition // on the row that the node has; an op it refuses is not written
}

// A Condition is on the row that a node has when it writes. It says nothing of
// other nodes. The zero value is none.
type Condition struct {
	Absent   bool      // there is no live row
	Revision oplog.Dot // the live row is that write
}

// WriteOptions tune a Write. The zero value writes to a bucket that exists.
type WriteOptions struct {
	// CreateBucket makes a bucket that nobody has.
	CreateBucket bool
	// SkipUnchanged leaves keys alone that have the very value, type and end already.
	SkipUnchanged bool
	// Atomic writes all ops or none, as one. An op that is refused is then the
	// error of Write; a delete of a key that has no row is a result with
	// ErrNotFound and no reason to leave the others out.
	Atomic bool
}

// A WriteResult is what became of one WriteOp.
type WriteResult struct {
	Stamp     oplog.Stamp // of the write; of the row that stays if Unchanged
	Unchanged bool
	Err       *Error // nil: written, or unchanged
}

// ScanOptions say what a Scan yields. The zero value is the whole bucket.
type ScanOptions struct {
	Prefix     []byte // only keys that begin so
	Start, End []byte // only keys from Start up to, but without, End; nil is open
	After      []byte // only keys behind this one, in the direction of the scan
	Limit      int    // at most so many rows; 0: all
	Reverse    bool   // from the last key to the first
	KeysOnly   bool   // values may be left out
}

// A WatchQuery says what a watch tells.
type WatchQuery struct {
	Prefix    []byte // only of keys that begin so
	FromStart bool   // the rows there are first, then a mark that says caught up
	Resume    string // likewise what has come since the token of a mark, of whichever node
	Marks     bool   // a token now and then, at most one a second
	PutsOnly  bool   // no deletes
	MetaOnly  bool   // no values
}

// A WatchEvent tells that a key has a new row; or, with a mark, how far all was told.
type WatchEvent struct {
	Entry oplog.Entry // a tombstone for a delete
	Local bool        // written on the node that tells, not merged from another
	Mark  *WatchMark
}

// A WatchMark says that of every key the newest row was told that the token covers.
type WatchMark struct {
	Token    string `json:"token"`
	CaughtUp bool   `json:"caught_up,omitempty"` // what was there before has been told
}

// SyncProgress tells how far a sync with one peer has come.
type SyncProgress struct {
	Bucket string `json:"bucket"`
	Peer   string `json:"peer"`
	Keys   uint64 `json:"keys"`
	Bytes  uint64 `json:"bytes"`
	InSync bool   `json:"in_sync"`
	Text   string `json:"text,omitempty"`
}
