package simnet

import (
	"fmt"

	"replicator/oplog"
	"replicator/store"
)

// onDisk notes a message that tells of own writes which are not on disk: rule
// W4. Whether it arrives makes no difference.
func (n *Node) onDisk(m oplog.Message) {
	for _, bucket := range n.store.Buckets() {
		b, _ := n.store.Bucket(bucket)
		own, durable := b.Origin(), b.DurableSeq()
		high := oplog.Seq(0)
		look := func(list []oplog.Entry) {
			for i := range list {
				if list[i].Stamp.Origin == own && n.w.ledger.has(bucket, &list[i]) {
					high = max(high, list[i].Stamp.Seq)
				}
			}
		}
		switch m := m.(type) {
		case *oplog.Live:
			look(m.Entries)
		case *oplog.Page:
			look(m.Entries)
		case *oplog.Begin:
			if len(n.w.cfg.Buckets) == 1 {
				high = m.Clock[own]
			}
		case *oplog.Heartbeat:
			n.compareDigests(b, m.Digests)
		case *oplog.Hello:
			n.compareDigests(b, m.Digests)
		case *oplog.HelloReply:
			n.compareDigests(b, m.Digests)
		}
		if high > durable && !own.IsZero() {
			n.blame(fmt.Errorf("%s sends %s of its write %d in %s, on disk is %d", n.name, oplog.KindOf(m), high, bucket, durable))
		}
	}
}

func (n *Node) compareDigests(b *store.Bucket, list []oplog.Digest) {
	durable := b.Durable()
	durable.Bucket = b.Name()
	for _, d := range list {
		if d.Bucket == b.Name() && d != durable {
			n.blame(fmt.Errorf("%s tells a digest of %s that is not of its durable state", n.name, d.Bucket))
		}
	}
}

func (n *Node) blame(err error) {
	if n.problem == nil {
		n.w.note("%v", err)
		n.problem = err
	}
}

// describe names a message and its numbers for a trace.
func describe(m oplog.Message) string {
	switch m := m.(type) {
	case *oplog.Pull:
		return fmt.Sprintf("pull clock=%v resume=%v cursor=%q", m.Clock, m.Resume, m.Cursor)
	case *oplog.Begin:
		return fmt.Sprintf("begin clock=%v key_order=%v", m.Clock, m.KeyOrder)
	case *oplog.Page:
		return fmt.Sprintf("page %d of %d entries", m.Number, len(m.Entries))
	case *oplog.End:
		return fmt.Sprintf("end pages=%d entries=%d cut=%v", m.Pages, m.Entries, m.Cut)
	case *oplog.Abort:
		return fmt.Sprintf("abort %s: %s", m.Reason, m.Text)
	case *oplog.HelloReply:
		return fmt.Sprintf("hello_reply differ=%d", len(m.Digests))
	}
	return oplog.KindOf(m).String()
}
