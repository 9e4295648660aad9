package bus

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed reports the use of a Bus after Close.
	ErrClosed = errors.New("bus: closed")

	// ErrNotStarted reports a Join before Start.
	ErrNotStarted = errors.New("bus: not started")

	// ErrOffline reports that the connection is down, so nothing was published.
	// The error that wraps it also wraps the library's reason, as
	// nats.ErrConnectionReconnecting or nats.ErrConnectionClosed.
	ErrOffline = errors.New("bus: offline")

	// ErrForeignReply reports an answer to a subject outside all reply spaces.
	ErrForeignReply = errors.New("bus: not a reply subject")

	// ErrBadHeader reports a header that would break a message or that belongs
	// to NATS itself.
	ErrBadHeader = errors.New("bus: bad header")

	// ErrBadFrame reports a frame that is damaged or does not belong where it
	// came.
	ErrBadFrame = errors.New("bus: bad frame")

	// ErrAssemblerFull reports that too many bodies are unfinished.
	ErrAssemblerFull = errors.New("bus: too many unfinished bodies")
)

// A TooLargeError reports what does not fit, and the limit it would have to fit.
type TooLargeError struct {
	// What is too large: "body", "live message", "headers", "frame" and so on.
	What        string
	Size, Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("bus: %s of %d bytes, limit %d", e.What, e.Size, e.Limit)
}
