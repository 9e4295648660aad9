package simnet

import (
	"bytes"
	"fmt"
	"slices"

	"replicator/oplog"
)

// A Ledger remembers every write of a world, as no node can: it is what the
// checks compare the nodes with.
type Ledger struct {
	writes map[string]map[oplog.Dot]*write // by bucket
	keys   map[string]map[string][]*write
}

type write struct {
	entry oplog.Entry
	acked bool // its writer was told that it is on disk
}

func newLedger() *Ledger {
	return &Ledger{writes: map[string]map[oplog.Dot]*write{}, keys: map[string]map[string][]*write{}}
}

func (l *Ledger) issue(bucket string, e oplog.Entry) {
	if l.writes[bucket] == nil {
		l.writes[bucket] = map[oplog.Dot]*write{}
		l.keys[bucket] = map[string][]*write{}
	}
	if old := l.writes[bucket][e.Dot()]; old != nil {
		panic(fmt.Sprintf("simnet: dot %s issued twice", e.Dot()))
	}
	w := &write{entry: e}
	l.writes[bucket][e.Dot()] = w
	l.keys[bucket][string(e.Key)] = append(l.keys[bucket][string(e.Key)], w)
}

// has reports whether e was written in the bucket. The dots of one origin are
// the same in every bucket, timestamps are not.
func (l *Ledger) has(bucket string, e *oplog.Entry) bool {
	w := l.writes[bucket][e.Dot()]
	return w != nil && w.entry.Stamp == e.Stamp && string(w.entry.Key) == string(e.Key)
}

func (l *Ledger) acknowledge(bucket string, e oplog.Entry) {
	l.writes[bucket][e.Dot()].acked = true
}

// winner returns the write with the latest stamp of those that clock covers.
func (l *Ledger) winner(bucket, key string, clock oplog.Clock) *oplog.Entry {
	var best *oplog.Entry
	for _, w := range l.keys[bucket][key] {
		if clock.Covers(w.entry.Dot()) && (best == nil || best.Stamp.Less(w.entry.Stamp)) {
			best = &w.entry
		}
	}
	return best
}

// ends reports whether some write of the key had an expiry.
func (l *Ledger) ends(bucket, key string) bool {
	return slices.ContainsFunc(l.keys[bucket][key], func(w *write) bool { return w.entry.Expiry > 0 })
}

func sameRow(a, b *oplog.Entry) bool {
	return a.Stamp == b.Stamp && a.Tombstone == b.Tombstone && a.Type == b.Type && bytes.Equal(a.Value, b.Value)
}
