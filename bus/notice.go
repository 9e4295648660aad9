package bus

import (
	"errors"
	"regexp"

	"github.com/nats-io/nats.go"
)

// A State is what happened to the connection or to one of its subscriptions.
type State int

const (
	// Connected means: the connection is up, at the start or again. Again means that
	// anything may have been missed in between.
	Connected State = iota + 1
	// Disconnected means: the connection is down and being tried again.
	Disconnected
	// Lost means: messages of one subscription were dropped because Deliver did not
	// keep up. Notice.Dropped tells how many.
	Lost
	// Denied means: the server refused a publish, a subscription or the login. A
	// refused subscription stays silent until the next connection, which tries
	// it anew.
	Denied
	// Closed means: the connection was closed for good.
	Closed
)

func (s State) String() string {
	switch s {
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	case Lost:
		return "lost"
	case Denied:
		return "denied"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// A Notice tells of something that may leave messages missing.
type Notice struct {
	State State
	// Subject, Kind and Bucket say whose messages for Lost and, as far as the
	// server told, for Denied.
	Subject string
	Kind    Kind
	Bucket  string
	// Dropped is the number of messages lost since the last such notice.
	Dropped int64
	// MaxPayload is what the server takes in one message now, for Connected.
	MaxPayload int64
	// Err is the server's reason, for Denied, or the connection's last error.
	Err error
}

func (b *Bus) notify(n Notice) {
	if b.opts.Notify == nil || !b.gate.enter() {
		return
	}
	defer b.gate.leave()
	b.opts.Notify(n)
}

// deniedSubject finds the subject in the server's words: Permissions Violation
// for Publish to "x", for Subscription to "x", for Publish with Reply of "x".
var deniedSubject = regexp.MustCompile(`(?:to|of) "([^"]+)"`)

// loginErrors mean that the server does not let this connection in at all.
var loginErrors = []error{
	nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
}

// onError stands in front of the caller's error handler. Slow consumers are
// left out: their subscriptions are watched, which also tells how many.
func (b *Bus) onError(nc *nats.Conn, sub *nats.Subscription, err error) {
	if n, ok := b.denial(err); ok {
		b.stats.denied.Add(1)
		b.notify(n)
	}
	if b.chained != nil {
		b.chained(nc, sub, err)
	}
}

// denial makes a notice of a refusal that concerns this bus. A refused subject
// outside the prefix belongs to someone else on the same connection.
func (b *Bus) denial(err error) (Notice, bool) {
	n := Notice{State: Denied, Err: err}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		m := deniedSubject.FindStringSubmatch(err.Error())
		if m == nil {
			return n, true
		}
		n.Subject = m[1]
		n.Kind, n.Bucket = b.subjects.classify(n.Subject)
		return n, b.subjects.Contains(n.Subject)
	case errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		return n, true
	}
	for _, e := range loginErrors {
		if errors.Is(err, e) {
			return n, true
		}
	}
	return n, false
}
