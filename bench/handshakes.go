package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"replicator"
	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
)

const (
	asker      = "asker"
	helloBytes = 100 // about what a hello takes that speaks of one bucket, and its answer
	answerIn   = 10 * time.Second
)

// helloOurs asks a master for a handshake as another one does that lacks nothing, when so
// many masters have written.
func (r *runner) helloOurs(writers int) func(context.Context, string) (values, error) {
	return func(ctx context.Context, dir string) (_ values, err error) {
		if err := writtenBy(filepath.Join(dir, "a"), writers); err != nil {
			return nil, err
		}
		m, err := r.masters(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.close()) }()
		h, err := r.helloer(m.broker)
		if err != nil {
			return nil, err
		}
		// Over TCP, as what it is compared with.
		nc, err := m.broker.remote("a", replicator.ConnectOptions("a", nil)...)
		if err != nil {
			return nil, err
		}
		n, err := replicator.Open(ctx, replicator.Config{Node: "a", Dir: filepath.Join(dir, "a"), Conn: nc, Prefix: r.prefix})
		if err != nil {
			return nil, err
		}
		m.nodes, m.dirs = append(m.nodes, n), append(m.dirs, filepath.Join(dir, "a"))
		b, err := n.Bucket(replicator.DefaultBucket)
		if err != nil {
			return nil, err
		}
		if got := len(b.Clock()); got != writers {
			return nil, fmt.Errorf("%d masters have written, %d wanted", got, writers)
		}
		return h.time(ctx, r)
	}
}

// writtenBy makes a store of a node named a in which each of so many masters has
// written one row.
func writtenBy(dir string, masters int) (err error) {
	kv, err := store.OpenPebble(dir, store.PebbleOptions{})
	if err != nil {
		return err
	}
	s, err := store.Open(kv, time.Now(), store.Options{Node: "a", Nonce: oplog.Nonce{1}})
	if err != nil {
		return errors.Join(err, kv.Close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b, err := s.Join(replicator.DefaultBucket)
	if err != nil {
		return err
	}
	var messages []*oplog.Live
	for i := range masters {
		o := oplog.Origin{Node: fmt.Sprintf("master-%d", i), Epoch: 1}
		e := oplog.Entry{Key: key(uint64(i)), Value: []byte("value"), Stamp: oplog.Stamp{HLC: oplog.HLCAt(time.Now()), Origin: o, Seq: 1}}
		messages = append(messages, &oplog.Live{Bucket: replicator.DefaultBucket, Origin: o, First: 1, Last: 1, Entries: []oplog.Entry{e}})
	}
	_, err = b.ApplyLive(time.Now(), messages)
	return err
}

// A helloer is a master as far as a handshake shows it.
type helloer struct {
	nc       *nats.Conn
	subjects bus.Subjects
	self     oplog.Instance
	replies  chan *nats.Msg
	beats    chan *nats.Msg
	session  uint64
	bytes    int // of the last question and its answer
}

func (r *runner) helloer(b *broker) (*helloer, error) {
	nc, err := b.remote(asker)
	if err != nil {
		return nil, err
	}
	h := &helloer{
		nc: nc, subjects: bus.Subjects{Prefix: r.prefix}, replies: make(chan *nats.Msg, 8), beats: make(chan *nats.Msg, 64),
		self: oplog.Instance{Node: asker, Nonce: oplog.Nonce{2}, Started: time.Now().UnixMilli(), Version: "dev", MaxPayload: uint64(nc.MaxPayload())},
	}
	for subject, into := range map[string]chan *nats.Msg{h.subjects.ReplyAll(asker): h.replies, h.subjects.HeartbeatAll(): h.beats} {
		if _, err := nc.ChanSubscribe(subject, into); err != nil {
			return nil, err
		}
	}
	return h, nc.FlushTimeout(answerIn)
}

// time asks until nothing is missing, then again and again.
func (h *helloer) time(ctx context.Context, r *runner) (values, error) {
	digests, err := h.digests(ctx)
	if err != nil {
		return nil, err
	}
	for {
		reply, err := h.hello(ctx, digests)
		if err != nil {
			return nil, err
		}
		if len(reply.Digests) == 0 && len(reply.Unknown) == 0 {
			break
		}
		digests = reply.Digests
	}
	v, err := r.ask(ctx, func() error {
		reply, err := h.hello(ctx, digests)
		if err == nil && len(reply.Digests)+len(reply.Unknown) > 0 {
			err = errors.New("a handshake found something missing")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	v["bytes"] = float64(h.bytes)
	return v, nil
}

// digests are those of the master's first heartbeat that speaks of the bucket.
func (h *helloer) digests(ctx context.Context) ([]oplog.Digest, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitWithin, errors.New("no heartbeat speaks of the bucket"))
	defer cancel()
	for {
		select {
		case m := <-h.beats:
			beat, err := decodeAs[*oplog.Heartbeat](m.Data)
			if err != nil {
				return nil, err
			}
			for _, d := range beat.Digests {
				if d.Bucket == replicator.DefaultBucket {
					return []oplog.Digest{d}, nil
				}
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// hello asks once. The asker decodes what it is told, as a master does.
func (h *helloer) hello(ctx context.Context, digests []oplog.Digest) (*oplog.HelloReply, error) {
	h.session++
	body, err := oplog.Encode(oplog.Msgpack, &oplog.Hello{
		From: h.self, Session: h.session, Formats: []uint64{1, '{'}, MaxBody: oplog.MaxBody, Digests: digests,
	})
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%x", h.session)
	m := &nats.Msg{Subject: h.subjects.Sync(bus.Fleet, "a", asker), Reply: h.subjects.Reply(asker, id), Data: body}
	if err := h.nc.PublishMsg(m); err != nil {
		return nil, err
	}
	late := time.NewTimer(answerIn)
	defer late.Stop()
	for {
		select {
		case m := <-h.replies:
			if m.Subject != h.subjects.Reply(asker, id) {
				continue
			}
			h.bytes = len(body) + len(m.Data)
			return decodeAs[*oplog.HelloReply](m.Data)
		case <-late.C:
			return nil, fmt.Errorf("no answer to a hello within %v", answerIn)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func decodeAs[M oplog.Message](body []byte) (m M, err error) {
	any, err := oplog.Decode(body)
	if err != nil {
		return m, err
	}
	m, ok := any.(M)
	if !ok {
		return m, fmt.Errorf("a message of another kind than %T came", m)
	}
	return m, nil
}
