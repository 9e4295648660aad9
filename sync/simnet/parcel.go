package simnet

import (
	"fmt"

	"replicator/oplog"
	syncer "replicator/sync"
)

// A parcel is a body on its way, to one node or to all.
type parcel struct {
	body    []byte
	message oplog.Message // once somebody has opened it
}

func (n *Node) encode(m oplog.Message) *parcel {
	n.onDisk(m)
	body, err := oplog.Encode(n.codec, m)
	if err != nil {
		panic(fmt.Sprintf("simnet: encode: %v", err))
	}
	return &parcel{body: body}
}

// open decodes the body as a node would that had it from NATS. Nodes only read
// messages, so those that get the same one share what was decoded.
func (p *parcel) open() oplog.Message {
	if p.message == nil {
		m, err := oplog.Decode(p.body)
		if err != nil {
			panic(fmt.Sprintf("simnet: decode: %v", err))
		}
		p.message = m
	}
	return p.message
}

// send carries a parcel to a node.
func (n *Node) send(to *Node, p *parcel, h syncer.Heard) {
	n.w.carry(n.index, to.index, len(p.body), func() {
		if !to.up {
			return
		}
		if n.w.Tap != nil {
			p = &parcel{body: p.body} // which may change what it gets
		}
		got := h
		got.Message, got.Size = p.open(), len(p.body)
		n.w.arrive(n, to, got.Message, func() { to.step(got) })
	})
}
