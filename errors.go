package replicator

import (
	"errors"
)

// Errors that callers tell apart.
var (
	// ErrNotFound reports a key without a row, or with a deleted or expired one.
	ErrNotFound = errors.New("replicator: key not found")
	// ErrNoBucket reports a bucket that this node does not hold.
	ErrNoBucket = errors.New("replicator: no such bucket on this node")
	// ErrClosed reports the use of a node after Close.
	ErrClosed = errors.New("replicator: node is closed")
	// ErrOverloaded reports that the queue of writes was full for too long.
	ErrOverloaded = errors.New("replicator: overloaded, too many writes wait for the disk")
	// ErrSlowWatcher ends a watch whose reader did not keep up. Watch again and
	// read what changed meanwhile with Scan.
	ErrSlowWatcher = errors.New("replicator: watcher too slow")
)

// A FencedError refuses writes on a node that must not write: an older instance
// with its name is running.
type FencedError struct{ Reason string }

func (e *FencedError) Error() string { return "replicator: writes are fenced: " + e.Reason }
