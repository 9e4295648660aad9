package simnet

import "replicator/oplog"

// A Tap decides what becomes of a message that arrives: it calls deliver at
// once, later, twice or never. It may change m first: each receiver has its own.
// Delivered to a node that has started since, m reaches the new instance.
type Tap func(from, to *Node, m oplog.Message, deliver func())

// arrive hands a message to its receiver, or to the tap.
func (w *World) arrive(from, to *Node, m oplog.Message, deliver func()) {
	if w.Tap == nil {
		deliver()
		return
	}
	w.Tap(from, to, m, func() {
		if to.up {
			deliver()
		}
	})
}
