package simnet

import (
	"fmt"

	"replicator/carry"
	"replicator/oplog"
	syncer "replicator/sync"
)

// Forget retires a node, as an operator has this one do.
func (n *Node) Forget(name string) { n.retire(name, syncer.MemberForgotten) }

// Leave retires the node itself for good; it should be ended soon.
func (n *Node) Leave() { n.retire(n.name, syncer.MemberLeft) }

func (n *Node) retire(name string, state syncer.MemberState) {
	op, err := carry.Retire(name, syncer.Retired{State: state, By: n.name, At: n.wall()})
	n.report(err)
	n.Write(syncer.Fleet, op)
}

// Readmit takes back what Forget or Leave has done.
func (n *Node) Readmit(name string) { n.Write(syncer.Fleet, carry.Readmit(name)) }

// retireOrReadmit has n forget m, or take it back if it has been forgotten.
func (w *World) retireOrReadmit(n, m *Node) {
	if _, gone := n.retired[m.name]; gone {
		n.Readmit(m.name)
	} else if n.up && !n.fenced && !n.full && !n.replica {
		w.Stats.Count[Retirements]++
		n.Forget(m.name)
	}
}

// refuses reports whether the node was retired, and so takes no writes of
// clients.
func (n *Node) refuses(bucket string) bool {
	_, gone := n.retired[n.name]
	return gone && bucket != syncer.Fleet
}

// heed tells the engine who is retired, if that may have changed.
func (n *Node) heed(bucket string) {
	if bucket != syncer.Fleet {
		return
	}
	retired, err := carry.Retired(n.store)
	if err != nil {
		n.blame(fmt.Errorf("%s: %w", n.name, err))
	}
	n.retired = retired
	n.tell(syncer.Retirements{Nodes: retired})
	n.tell(syncer.Finals{Clocks: n.finals()})
}

// Pure reports whether the node holds no extras of a bucket but those of nodes
// that were forgotten.
func (n *Node) Pure(bucket string) bool {
	b, _ := n.store.Bucket(bucket)
	return b.Pure(func(node string) bool { return n.retired[node].State == syncer.MemberForgotten })
}

// finals reads which origins are written no more.
func (n *Node) finals() map[string]oplog.Clock {
	finals, err := carry.Finals(n.store)
	if err != nil {
		n.blame(fmt.Errorf("%s: %w", n.name, err))
	}
	return finals
}

// tellFinals puts origins that have ended on the fleet's list.
func (n *Node) tellFinals(a syncer.TellFinals) {
	ops, err := carry.TellFinals(a)
	n.report(err)
	n.w.Stats.Count[Ended] += len(ops)
	n.Write(syncer.Fleet, ops...)
}
