package replicator

import (
	"errors"

	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
	"replicator/watch"
)

// Errors that callers tell apart.
var (
	// ErrNotFound reports a key without a row, or with a deleted or expired one.
	ErrNotFound = errors.New("replicator: key not found")
	// ErrNoBucket reports a bucket that this node does not hold.
	ErrNoBucket = errors.New("replicator: no such bucket on this node")
	// ErrNoStore reports a folder in which no node has kept anything yet.
	ErrNoStore = errors.New("replicator: no store in this folder")
	// ErrClosed reports the use of a node after Close.
	ErrClosed = errors.New("replicator: node is closed")
	// ErrOverloaded reports that the queue of writes was full for too long.
	ErrOverloaded = errors.New("replicator: overloaded, too many writes wait for the disk")
	// ErrLeaving reports that the node is leaving the fleet, or one of its buckets,
	// already.
	ErrLeaving = errors.New("replicator: one thing is left at a time")
	// ErrReplica reports a write to a replica. Write to a master.
	ErrReplica = errors.New("replicator: this node is a replica, which takes no writes: write to a master")
	// ErrWiped ends a watch on a replica that empties the bucket, to fill it anew.
	// Watch again; Scan has all rows again once Status says that it is in sync.
	ErrWiped = errors.New("replicator: the replica has emptied the bucket and fills it anew")
	// ErrSlowWatcher ends a watch whose reader was away for so long that deletes which
	// he has not got were forgotten meanwhile. Watch again from the start.
	ErrSlowWatcher = errors.New("replicator: watcher too slow")
	// ErrTokenExpired ends a watch whose token is older than deletes that this node has
	// forgotten, or has taken over as such in a reconcile, which it therefore cannot
	// tell: watch from the start.
	ErrTokenExpired = watch.ErrTokenExpired
	// ErrBadToken reports a token that is none of a watch of this bucket.
	ErrBadToken = watch.ErrBadToken
)

// A FencedError refuses writes on a node that must not write: an older instance
// with its name is running.
type FencedError struct{ Reason string }

func (e *FencedError) Error() string { return "replicator: writes are fenced: " + e.Reason }

// The errors of Open and Rename that callers branch on.
type (
	// LockedError reports a folder that another process holds open.
	LockedError = store.LockedError
	// NodeNameError reports a name that is not the one in the store; Rename
	// changes that.
	NodeNameError = store.NodeNameError
	// UnreadableError reports a folder that cannot be read as a store.
	UnreadableError = store.UnreadableError
	// LimitError reports something larger than a node takes.
	LimitError = store.LimitError
	// TypeError reports a text that cannot be a content type.
	TypeError = oplog.TypeError
	// NameError reports the name of a bucket, or of a node, that cannot be one.
	NameError = bus.NameError
	// ReadOnlyError reports a write to a store that takes none, and why.
	ReadOnlyError = store.ReadOnlyError
)

// ErrHasWritten reports a folder whose node has written, so that a replica must
// not have it.
var ErrHasWritten = store.ErrHasWritten

// ErrNewerFormat reports a store that a newer version of this program wrote.
var ErrNewerFormat = store.ErrNewerFormat
