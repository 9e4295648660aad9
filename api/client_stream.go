package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"replicator/bus"
)

// streamBuffer is how many messages of a stream wait for its reader. The
// service sends no more than its window ahead.
const streamBuffer = 2 * streamWindow

// ErrSilent reports a stream whose node said nothing for too long.
var ErrSilent = errors.New("the node went silent")

// ErrGap reports a stream of which a message was lost.
var ErrGap = errors.New("a message of the stream was lost")

// WatchOptions tune a Watch. The zero value is every change from now on.
type WatchOptions struct {
	// Query says what is told; Watch sets its prefix.
	Query WatchQuery
	// Marked is called with each mark: what came before it was yielded. Optional.
	Marked func(WatchMark)
	// Started is called once every later change is sure to be told. Optional.
	Started func(node string)
}

// Watch yields the changes of a bucket as they happen at the client's node,
// until ctx ends or the loop breaks. A deleted key is a record with Deleted
// set. A watch that breaks off yields an error: watch again from the token of the
// last mark, or from the start.
func (c *Client) Watch(ctx context.Context, bucket string, prefix []byte, o WatchOptions) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := bus.ValidBucket(bucket); err != nil {
			yield(Record{}, ErrBadBucket.With("%s", err))
			return
		}
		q := o.Query
		ask := rangeBody{V: 1, FromStart: q.FromStart, Resume: q.Resume, Marks: q.Marks, PutsOnly: q.PutsOnly, MetaOnly: q.MetaOnly}
		ask.setRange(ScanOptions{Prefix: prefix})
		err := c.follow(ctx, bucket, verbWatch, mustJSON(ask), func(head streamHead, line []byte) (bool, error) {
			if line == nil {
				if head.Type == streamOpen && o.Started != nil {
					o.Started(head.Node)
				}
				return true, nil
			}
			if mark, ok := parseMark(line); ok {
				if o.Marked != nil {
					o.Marked(mark)
				}
				return true, nil
			}
			r, err := ParseRecord(line)
			if err != nil {
				return false, fmt.Errorf("watch: %w", err)
			}
			r.Node = head.Node
			return yield(r, nil), nil
		})
		if err != nil && ctx.Err() == nil {
			yield(Record{}, err)
		}
	}
}

func parseMark(line []byte) (WatchMark, bool) {
	var m struct {
		Mark *WatchMark `json:"mark"`
	}
	if !bytes.HasPrefix(line, []byte(`{"mark":`)) || json.Unmarshal(line, &m) != nil || m.Mark == nil {
		return WatchMark{}, false
	}
	return *m.Mark, true
}

// Sync has the client's node pull the bucket, or all where it is empty, from
// every live peer and the peers from it, and returns when they are in sync.
func (c *Client) Sync(ctx context.Context, bucket string, progress func(node string, p SyncProgress)) error {
	if bucket == "" {
		bucket = bus.Fleet
	} else if err := bus.ValidBucket(bucket); err != nil {
		return ErrBadBucket.With("%s", err)
	}
	return c.follow(ctx, bucket, verbSync, nil, func(head streamHead, line []byte) (bool, error) {
		if line == nil {
			return true, nil
		}
		var p SyncProgress
		if err := json.Unmarshal(line, &p); err != nil {
			return false, fmt.Errorf("sync: %w", err)
		}
		if progress != nil {
			progress(head.Node, p)
		}
		return true, nil
	})
}

// A follower takes one line of a stream, or nil for a message that has none.
// It is false to leave the stream.
type follower func(head streamHead, line []byte) (bool, error)

func (c *Client) follow(ctx context.Context, bucket, verb string, body []byte, take follower) error {
	return c.withNode(ctx, func(node string) error {
		f := &following{client: c, subject: c.subjects.API(bucket, node, verb), take: take}
		return f.run(ctx, body)
	})
}

// A following is a client's end of one stream.
type following struct {
	client  *Client
	subject string
	take    follower
	id      string
	number  uint64 // of the last message taken
}

// ackEvery is after how many messages the service is told to go on.
const ackEvery = streamWindow / 8

func (f *following) run(ctx context.Context, body []byte) error {
	c := f.client
	reply, replies, leave := c.listen(streamBuffer)
	defer leave()
	if err := c.send(context.WithoutCancel(ctx), f.subject, reply, body); err != nil {
		return err
	}
	defer f.stop()
	renew := time.NewTicker(c.opts.Renew)
	defer renew.Stop()
	silence := time.NewTimer(c.opts.Silence)
	defer silence.Stop()
	for {
		select {
		case m := <-replies:
			if on, err := f.message(m); !on || err != nil {
				return err
			}
			silence.Reset(c.opts.Silence)
		case <-renew.C:
			f.tell(rangeBody{V: 1, Renew: f.id, Number: f.number})
		case <-silence.C:
			if len(replies) > 0 {
				continue // it is the reader who took so long
			}
			return c.silent(f.subject)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// message takes one message; on is false at the end of the stream.
func (f *following) message(m msg) (on bool, err error) {
	if m.err != nil {
		return false, m.err
	}
	var head streamHead
	rest, err := headLine(m.body, &head)
	if err == nil && head.Stream == "" {
		if e := readError(m.header, m.body); e != nil {
			return false, e // refused before it began
		}
		return false, fmt.Errorf("%s: not a stream", f.subject)
	}
	if err != nil {
		return false, err
	}
	if head.Number != f.number+1 || f.id != "" && f.id != head.Stream {
		return false, fmt.Errorf("%s: message %d after %d: %w", f.subject, head.Number, f.number, ErrGap)
	}
	f.id, f.number = head.Stream, head.Number
	return f.content(head, rest)
}

func (f *following) content(head streamHead, rest []byte) (on bool, err error) {
	switch head.Type {
	case streamDone:
		f.id = ""
		return false, nil
	case streamError:
		f.id = ""
		if head.Error == nil {
			return false, ErrInternal
		}
		return false, head.Error
	case streamLines:
		for line := range lines(rest) {
			if on, err := f.take(head, line); !on || err != nil {
				return false, err
			}
		}
	default: // open, heartbeat, and what later versions add
		if on, err := f.take(head, nil); !on || err != nil {
			return false, err
		}
	}
	if f.number%ackEvery == 0 {
		f.tell(rangeBody{V: 1, Renew: f.id, Number: f.number})
	}
	return true, nil
}

// tell says a word about the stream; nobody needs to answer. A lost word is
// said again by the next.
func (f *following) tell(word rangeBody) {
	if f.id != "" {
		_ = f.client.nc.Publish(f.subject, mustJSON(word))
	}
}

func (f *following) stop() { f.tell(rangeBody{V: 1, Stop: f.id}) }
