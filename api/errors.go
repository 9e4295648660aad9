package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// An Error is one that a client can act upon. Two errors with one code are the
// same for errors.Is.
type Error struct {
	Code   string `json:"code"`   // stable; never used for something else
	Status int    `json:"status"` // like that of HTTP
	Text   string `json:"text"`   // for people
}

func (e *Error) Error() string { return e.Text }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// With returns an error of the same code and another text.
func (e *Error) With(format string, args ...any) *Error {
	return &Error{Code: e.Code, Status: e.Status, Text: fmt.Sprintf(format, args...)}
}

// The errors of the API.
var (
	ErrBadRequest = &Error{"bad_request", 400, "bad request"}
	ErrBadKey     = &Error{"bad_key", 400, "bad key"}
	ErrBadBucket  = &Error{"bad_bucket", 400, "bad bucket name"}
	ErrReplica    = &Error{"replica", 403, "the node is a replica and takes no writes"}
	ErrNotFound   = &Error{"not_found", 404, "key not found"}
	ErrNoBucket   = &Error{"no_bucket", 404, "no such bucket"}
	ErrNoStream   = &Error{"no_stream", 404, "no such stream, or its lease lapsed"}
	ErrSlow       = &Error{"slow", 408, "the client reads too slowly"}
	ErrLapsed     = &Error{"lapsed", 408, "the lease was not renewed"}
	ErrExpired    = &Error{"expired", 410, "the token is older than deletes that were forgotten: watch from the start"}
	ErrWiped      = &Error{"wiped", 410, "the replica has emptied the bucket and fills it anew"}
	ErrExists     = &Error{"exists", 412, "the key exists on this node"}
	ErrRevision   = &Error{"revision", 412, "the key is at another revision on this node"}
	ErrTooLarge   = &Error{"too_large", 413, "too large"}
	ErrFenced     = &Error{"fenced", 423, "writes are fenced"}
	ErrBehind     = &Error{"behind", 409, "the node has not seen that yet"}
	ErrOverloaded = &Error{"overloaded", 429, "overloaded, try again"}
	ErrInternal   = &Error{"internal", 500, "internal error"}
	ErrNotReady   = &Error{"not_ready", 503, "the node is not ready"}
	ErrStopping   = &Error{"stopping", 503, "the node is stopping"}
	ErrReadOnly   = &Error{"read_only", 507, "the node is read-only"}
)

// AsError finds the Error in err, or makes one.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if err.Error() == e.Text {
			return e
		}
		return e.With("%s", err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ErrOverloaded.With("not answered in time: %s", err)
	}
	return ErrInternal.With("%s", err)
}

type errorBody struct {
	V     int    `json:"v"`
	Error *Error `json:"error"`
}

// maxErrorText keeps the text within a header that every server takes.
const maxErrorText = 1024

// message gives the reply that carries e.
func (e *Error) message() (nats.Header, []byte) {
	if len(e.Text) > maxErrorText {
		e = e.With("%s...", e.Text[:maxErrorText])
	}
	body, _ := json.Marshal(errorBody{V: 1, Error: e}) // strings and a number always marshal
	return nats.Header{
		micro.ErrorHeader:     {oneLine(e.Text)},
		micro.ErrorCodeHeader: {strconv.Itoa(e.Status)},
	}, body
}

// oneLine makes text fit for a header.
func oneLine(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}

// readError returns the error a reply carries, nil if it is none.
func readError(h nats.Header, body []byte) *Error {
	text := h.Get(micro.ErrorHeader)
	code := h.Get(micro.ErrorCodeHeader)
	if text == "" && code == "" {
		return nil
	}
	var b errorBody
	if err := json.Unmarshal(body, &b); err == nil && b.Error != nil && b.Error.Code != "" {
		return b.Error
	}
	status, _ := strconv.Atoi(code)
	return &Error{Code: ErrInternal.Code, Status: status, Text: text}
}

// A NoNodeError reports that nobody answers: no node runs, or none of that name.
type NoNodeError struct {
	Node   string // the one asked for; empty: any
	Prefix string
}

func (e *NoNodeError) Error() string {
	if e.Node != "" {
		return fmt.Sprintf("no node %q answers under the prefix %q", e.Node, e.Prefix)
	}
	return fmt.Sprintf("no node answers under the prefix %q", e.Prefix)
}
