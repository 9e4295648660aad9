package bus

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

func (b *Bus) takeLive(m *nats.Msg) {
	bucket, node, ok := b.subjects.ParseLive(m.Subject)
	if !ok {
		b.refuseSubject(m)
		return
	}
	b.opts.Deliver(Message{Kind: KindLive, Bucket: bucket, From: node, Body: m.Data, Subject: m.Subject})
}

func (b *Bus) takeHeartbeat(m *nats.Msg) {
	node, ok := b.subjects.ParseHeartbeat(m.Subject)
	if !ok {
		b.refuseSubject(m)
		return
	}
	b.opts.Deliver(Message{Kind: KindHeartbeat, From: node, Body: m.Data, Subject: m.Subject})
}

// takeSync refuses a request that wants its answer anywhere but in its own
// requester's reply space: this node may publish where the requester may not,
// so it could be made to write into someone's live subject.
func (b *Bus) takeSync(m *nats.Msg) {
	bucket, responder, requester, ok := b.subjects.ParseSync(m.Subject)
	if !ok || responder != b.opts.Node {
		b.refuseSubject(m)
		return
	}
	if m.Reply != "" {
		if node, _, ok := b.subjects.ParseReply(m.Reply); !ok || node != requester {
			b.stats.foreignReplies.Add(1)
			b.opts.Logger.Debug("foreign reply refused", "subject", m.Subject, "reply", m.Reply)
			return
		}
	}
	if body, ok := b.assemble(m); ok {
		b.opts.Deliver(Message{
			Kind: KindSync, Bucket: bucket, From: requester, Reply: m.Reply, Body: body, Subject: m.Subject,
		})
	}
}

// noResponders is the status with which a server answers a request that nobody
// listens for (NATS ADR-4).
const noResponders = "503"

func (b *Bus) takeReply(m *nats.Msg) {
	node, id, ok := b.subjects.ParseReply(m.Subject)
	if !ok || node != b.opts.Node {
		b.refuseSubject(m)
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == noResponders {
		b.opts.Deliver(Message{Kind: KindReply, ID: id, NoResponders: true, Subject: m.Subject})
		return
	}
	if body, ok := b.assemble(m); ok {
		b.opts.Deliver(Message{Kind: KindReply, ID: id, Body: body, Subject: m.Subject})
	}
}

// assemble gives a whole body once there is one. The library allocates every
// message anew, so its bytes may be kept.
func (b *Bus) assemble(m *nats.Msg) ([]byte, bool) {
	body, done, err := b.assembler.Add(m.Subject, m.Data, time.Now())
	if err == nil {
		return body, done
	}
	var large *TooLargeError
	switch {
	case errors.As(err, &large):
		b.stats.tooLarge.Add(1)
	case errors.Is(err, ErrAssemblerFull):
		b.stats.assemblerFull.Add(1)
	default:
		b.stats.badFrames.Add(1)
	}
	b.opts.Logger.Debug("frame refused", "subject", m.Subject, "err", err)
	return nil, false
}

// refuseSubject counts a subject that matched a subscription but not the rules
// for names.
func (b *Bus) refuseSubject(m *nats.Msg) {
	b.stats.badSubjects.Add(1)
	b.opts.Logger.Debug("subject refused", "subject", m.Subject)
}
