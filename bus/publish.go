package bus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// PublishLive publishes body as a live message of this node in bucket. It is
// never cut into frames: a body above LiveLimit is a *TooLargeError. The
// headers repeat for people what is in the body; names that begin with Nats-
// are refused, for the server and JetStream act on them.
func (b *Bus) PublishLive(bucket string, h map[string]string, body []byte) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	if err := b.fits("live message", body); err != nil {
		return err
	}
	header, err := makeHeader(h)
	if err != nil {
		return err
	}
	if !b.nc.HeadersSupported() {
		header = nil
	}
	return b.send(KindLive, &nats.Msg{Subject: b.subjects.Live(bucket, b.opts.Node), Header: header, Data: body})
}

// PublishHeartbeat publishes the heartbeat of this node.
func (b *Bus) PublishHeartbeat(body []byte) error {
	if err := b.fits("heartbeat", body); err != nil {
		return err
	}
	return b.send(KindHeartbeat, &nats.Msg{Subject: b.subjects.Heartbeat(b.opts.Node), Data: body})
}

// PublishEvent publishes an event of this node; kind is one token.
func (b *Bus) PublishEvent(bucket, kind string, body []byte) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	if !token(kind) {
		return &NameError{What: "event kind", Name: kind, Rule: ruleToken}
	}
	if err := b.fits("event", body); err != nil {
		return err
	}
	return b.send(KindEvent, &nats.Msg{Subject: b.subjects.Event(bucket, kind, b.opts.Node), Data: body})
}

// SendSync asks responder, in bucket or in Fleet. The answer comes as a
// KindReply with replyID, one or more tokens, as its ID; an empty replyID wants
// none. A large body is cut into frames, which each carry the reply subject.
func (b *Bus) SendSync(bucket, responder, replyID string, body []byte) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	if err := ValidNode(responder); err != nil {
		return err
	}
	reply := ""
	if replyID != "" {
		if !validReplyID(replyID) {
			return &NameError{What: "reply id", Name: replyID, Rule: "tokens of " + ruleToken + " joined by dots, at most 256 bytes"}
		}
		reply = b.subjects.Reply(b.opts.Node, replyID)
	}
	return b.sendFramed(KindSync, b.subjects.Sync(bucket, responder, b.opts.Node), reply, body)
}

// Reply answers a sync request: to is the Reply of its Message. Any other
// subject is ErrForeignReply. A large body is cut into frames.
func (b *Bus) Reply(to string, body []byte) error {
	if _, _, ok := b.subjects.ParseReply(to); !ok {
		return fmt.Errorf("%w: %q", ErrForeignReply, to)
	}
	return b.sendFramed(KindReply, to, "", body)
}

func (b *Bus) sendFramed(kind Kind, subject, reply string, body []byte) error {
	if len(body) > b.opts.MaxBody {
		return &TooLargeError{What: "body", Size: int64(len(body)), Limit: int64(b.opts.MaxBody)}
	}
	limit := b.FrameLimit()
	if limit < MinFrame && len(body) > limit {
		return &TooLargeError{What: "frame", Size: MinFrame, Limit: int64(limit)}
	}
	for f := range Frames(body, b.bodyID.Add(1), limit) {
		if err := b.send(kind, &nats.Msg{Subject: subject, Reply: reply, Data: f}); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) send(kind Kind, m *nats.Msg) error {
	if err := b.ready(); err != nil {
		return fmt.Errorf("publish %s: %w", m.Subject, err)
	}
	if err := b.nc.PublishMsg(m); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			err = &TooLargeError{What: "message", Size: int64(len(m.Data)), Limit: b.maxPayload()}
		}
		return fmt.Errorf("publish %s: %w", m.Subject, offline(err))
	}
	b.stats.out[kind].add(len(m.Data))
	return nil
}

// ready tells whether publishing makes sense now. Without this a connection
// that has a reconnect buffer would send, when it is back, what was true
// minutes ago. While the connection is known to be down it is not even asked:
// the library holds its lock for as long as it dials, seconds on a dead road,
// and a node that publishes must not stand still for it.
func (b *Bus) ready() error {
	select {
	case <-b.stop:
		return ErrClosed
	default:
	}
	switch {
	case b.watched() == Disconnected:
		return offline(nats.ErrConnectionReconnecting)
	case b.nc.IsConnected():
		return nil
	case b.nc.IsClosed():
		return offline(nats.ErrConnectionClosed)
	}
	return offline(nats.ErrConnectionReconnecting)
}

// offline marks those errors of the library that mean "no connection now".
func offline(err error) error {
	for _, e := range []error{
		nats.ErrConnectionClosed, nats.ErrConnectionReconnecting, nats.ErrConnectionDraining,
		nats.ErrReconnectBufExceeded, nats.ErrDisconnected,
	} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrOffline, err)
		}
	}
	return err
}

// makeHeader keeps a value from ending its line, and so from becoming a header
// of its own.
func makeHeader(h map[string]string) (nats.Header, error) {
	if len(h) == 0 {
		return nil, nil
	}
	header := make(nats.Header, len(h))
	size := len("NATS/1.0\r\n\r\n")
	for k, v := range h {
		if k == "" || strings.ContainsFunc(k, notInKey) || strings.ContainsAny(v, "\r\n\x00") ||
			strings.HasPrefix(strings.ToLower(k), "nats-") {
			return nil, fmt.Errorf("%w: %q", ErrBadHeader, k)
		}
		header[k] = []string{v}
		size += len(k) + len(v) + len(": \r\n")
	}
	if size > headerRoom {
		return nil, &TooLargeError{What: "headers", Size: int64(size), Limit: headerRoom}
	}
	return header, nil
}

func notInKey(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }
