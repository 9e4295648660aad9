package store

import (
	"errors"
	"fmt"
	"strings"

	"replicator/oplog"
)

// Errors that callers branch on.
var (
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("store: closed")
	// ErrNewerFormat reports a store written by a newer program. Nothing in it
	// was touched.
	ErrNewerFormat = errors.New("store: written by a newer version of this program; run that version, or start with an empty folder")
	// ErrTooManyBuckets reports a Join above Options.MaxBuckets.
	ErrTooManyBuckets = errors.New("store: too many buckets")
	// ErrReconciling reports entries that came by another road while the bucket
	// is being reconciled. What they bring is pulled when that has ended.
	ErrReconciling = errors.New("store: the bucket is being reconciled")
	// ErrOutOfOrder reports a stretch of a reconcile that does not go on where
	// the one before it ended, as when another session came in between.
	ErrOutOfOrder = errors.New("store: reconcile goes on elsewhere than it stopped")
	// ErrReplica reports a local write to a replica.
	ErrReplica = errors.New("store: a replica takes no writes")
	// ErrAmbiguous reports an entry that may be older than a tombstone collected
	// here, at a replica, which cannot issue it again. Nothing of the batch was
	// merged; the bucket has to be wiped and filled anew: rules M3 and C6.
	ErrAmbiguous = errors.New("store: the replica may have forgotten a delete of what comes")
	// ErrHasWritten reports a store that cannot be a replica's: it may hold
	// writes that are nowhere else.
	ErrHasWritten = errors.New("store: has written as a master, and a replica may empty its store")
	// ErrDropped reports a bucket that the store holds no more.
	ErrDropped = errors.New("store: the bucket was left")
	// ErrTaken reports a Wipe of a bucket that has taken more since it was decided.
	ErrTaken = errors.New("store: the bucket has taken more since it was to be emptied")

	// ErrNoReplica reports a Wipe of a store that may hold unseen writes.
	ErrNoReplica = errors.New("store: only a replica is wiped")
	// ErrNoNode reports that neither the options nor the store name a node.
	ErrNoNode = errors.New("store: no node name given and none stored")
)

var errEpoch = errors.New("store: Options.Epoch draws nothing but zero and used epochs")

// A NodeNameError reports a node name that is not the one in the store. Only
// Rename changes it: a node that answers to a wrong name confuses its peers.
type NodeNameError struct {
	Stored, Given string
}

func (e *NodeNameError) Error() string {
	return fmt.Sprintf("store: belongs to node %q, not %q; give that name, rename the node, or use another folder", e.Stored, e.Given)
}

// A ReadOnlyError reports a write to a store that takes none, and why.
type ReadOnlyError struct {
	Cause error
}

func (e *ReadOnlyError) Error() string { return "store: read-only: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *ReadOnlyError) Unwrap() error { return e.Cause }

// A LowDiskError is the cause of a ReadOnlyError while the disk is nearly full.
type LowDiskError struct {
	Free, LowWater uint64 // bytes
}

func (e *LowDiskError) Error() string {
	return fmt.Sprintf("%d MiB free on the disk, want %d MiB; free some space and writes go on", e.Free>>20, e.LowWater>>20)
}

// A LimitError reports something larger than a node takes. Nothing was written.
type LimitError struct {
	What        string
	Size, Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("store: %s: %d, limit %d", e.What, e.Size, e.Limit)
}

// A MalformedError reports a foreign entry or message that no correct master
// writes. It was not merged.
type MalformedError struct {
	Dot oplog.Dot
	Err error
}

func (e *MalformedError) Error() string { return fmt.Sprintf("store: malformed %s: %v", e.Dot, e.Err) }

// Unwrap returns what is wrong with it.
func (e *MalformedError) Unwrap() error { return e.Err }

// A CorruptError reports bytes in the store that this package did not write.
type CorruptError struct {
	Bucket string // empty outside of buckets
	Key    []byte
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("store: corrupt at bucket %q key %q: %s", e.Bucket, clip(e.Key), e.Reason)
}

// IsCorrupt reports whether err says that what is stored is not what was written.
func IsCorrupt(err error) bool {
	c := new(CorruptError)
	return errors.As(err, &c) || errors.Is(err, ErrUnsound)
}

// A LockedError reports a folder that another process, or another store of
// this one, holds open.
type LockedError struct {
	Dir    string
	Holder string // what the holder wrote about itself; empty if unknown
}

func (e *LockedError) Error() string {
	holder := e.Holder
	if holder == "" {
		holder = "another process"
	}
	return fmt.Sprintf("store: %s is in use by %s; stop it, or use another folder", e.Dir, holder)
}

// An UnreadableError reports a folder that cannot be opened as a store.
type UnreadableError struct {
	Dir   string
	Cause error
}

func (e *UnreadableError) Error() string {
	// Pebble hangs notes for its own developers on an error, after a semicolon.
	cause, _, _ := strings.Cut(e.Cause.Error(), "; <")
	return fmt.Sprintf("store: %s cannot be read (%s); restore a backup, or move the folder away and start empty: the data comes back from the peers", e.Dir, cause)
}

// Unwrap returns the cause.
func (e *UnreadableError) Unwrap() error { return e.Cause }

// clip keeps foreign bytes short enough for an error line.
func clip(b []byte) []byte {
	if len(b) > 80 {
		return append(b[:80:80], "..."...)
	}
	return b
}
