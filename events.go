package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
)

// An event as it is published on <prefix>.<bucket>.event.<kind>.<node>.
type event struct {
	V      int       `json:"v"`
	Type   string    `json:"type"`
	Kind   string    `json:"kind"`
	Node   string    `json:"node"`
	Bucket string    `json:"bucket,omitempty"`
	Peer   string    `json:"peer,omitempty"`
	Key    string    `json:"key,omitempty"`
	Loser  string    `json:"loser,omitempty"`  // of a conflict, or an ambiguous write: which was replaced
	Winner string    `json:"winner,omitempty"` // and by which
	Text   string    `json:"text"`
	Time   time.Time `json:"time"`
}

// raise tells people of something: in the log, and as a message that anyone
// with the nats CLI can follow.
func (n *Node) raise(a syncer.Raise) {
	n.publishEvent(event{Kind: string(a.Kind), Bucket: a.Bucket, Peer: a.Peer, Text: a.Text})
}

// mergeEvents is how many events of a kind merges of a bucket raise in a second.
const mergeEvents = 10

// An eventMeter says which events of a kind to raise where there may be very
// many. It belongs to one goroutine.
type eventMeter struct {
	second int64
	told   int
	silent int
}

// tell reports whether to tell of one more at now, and how many were passed over
// in silence since the last.
func (m *eventMeter) tell(now time.Time) (yes bool, silent int) {
	if s := now.Unix(); s != m.second {
		m.second, m.told = s, 0
	}
	if m.told == mergeEvents {
		m.silent++
		return false, 0
	}
	m.told++
	silent, m.silent = m.silent, 0
	return true, silent
}

// more says how many events were not told of since the last, for there were too
// many.
func more(silent int) string {
	if silent == 0 {
		return ""
	}
	return fmt.Sprintf("; %d more since the last event", silent)
}

// tellMerged raises the events of what a merge found.
func (l *loop) tellMerged(a *store.Applied) {
	now := time.Now()
	for i := range a.Future {
		if yes, silent := l.tells.future.tell(now); yes {
			l.node.raiseFuture(l.name, &a.Future[i], silent)
		}
	}
	for i := range a.Forks {
		if yes, silent := l.tells.fork.tell(now); yes {
			l.node.raiseFork(l.name, &a.Forks[i].Received, silent)
		}
	}
	l.tellConflicts(a.Conflicts)
	l.tellAmbiguous(a.Ambiguous)
}

func (n *Node) raiseFuture(bucket string, e *oplog.Entry, silent int) {
	n.publishEvent(event{
		Kind: "future_clock", Bucket: bucket, Peer: e.Stamp.Origin.Node, Key: string(e.Key),
		Text: fmt.Sprintf("%s wrote with a clock of %s", e.Stamp.Origin.Node, e.Stamp.HLC.Time().Format(time.RFC3339)) + more(silent),
	})
}

func (n *Node) raiseFork(bucket string, e *oplog.Entry, silent int) {
	n.publishEvent(event{
		Kind: "fork", Bucket: bucket, Peer: e.Stamp.Origin.Node, Key: string(e.Key),
		Text: fmt.Sprintf("two different writes are named %s: a disk image of %s was started twice", e.Dot(), e.Stamp.Origin.Node) + more(silent),
	})
}

// raiseConflict tells of a write of this node that lost.
func (n *Node) raiseConflict(bucket string, c *store.Conflict, silent int) {
	text := fmt.Sprintf("a write of %s lost to one of %s; neither had seen the other", c.Loser.Stamp.Origin.Node, c.Winner.Stamp.Origin.Node)
	n.publishEvent(event{
		Kind: "conflict", Bucket: bucket, Peer: c.Winner.Stamp.Origin.Node, Key: string(c.Loser.Key),
		Loser: c.Loser.Dot().String(), Winner: c.Winner.Dot().String(), Text: text + more(silent),
	})
}

// attrs are what the log says of an event.
func (ev *event) attrs() []any {
	attrs := []any{"kind", ev.Kind}
	for _, a := range [][2]string{{"bucket", ev.Bucket}, {"peer", ev.Peer}, {"key", ev.Key}, {"loser", ev.Loser}, {"winner", ev.Winner}} {
		if a[1] != "" {
			attrs = append(attrs, a[0], a[1])
		}
	}
	return append(attrs, "text", ev.Text)
}

// raiseAmbiguous tells of a write that may be older than a delete which was
// collected here.
func (n *Node) raiseAmbiguous(bucket string, a *store.Ambiguity, silent int) {
	e := &a.Received
	what := "it was written again"
	switch {
	case n.cfg.Ambiguous == AmbiguousPark:
		what = "it was deleted and is kept here, see replicator conflicts"
	case a.Issued.Tombstone:
		what = "it was deleted"
	}
	text := fmt.Sprintf("a write of %s from %s may be older than a delete that was forgotten: %s",
		e.Stamp.Origin.Node, e.Stamp.HLC.Time().UTC().Format(time.RFC3339), what)
	n.publishEvent(event{
		Kind: "gc_ambiguous", Bucket: bucket, Peer: e.Stamp.Origin.Node, Key: string(e.Key),
		Loser: e.Dot().String(), Winner: a.Issued.Dot().String(), Text: text + more(silent),
	})
}

func (n *Node) publishEvent(ev event) {
	ev.V, ev.Type, ev.Node, ev.Time = 1, "event", n.self.Node, time.Now().UTC()
	level := slog.LevelWarn
	if ev.Kind == "conflict" {
		level = slog.LevelInfo // it is nothing to repair
	}
	n.log.Log(context.Background(), level, "event", ev.attrs()...)
	bucket := ev.Bucket
	if bucket == "" {
		bucket = bus.Fleet
	}
	body, err := json.Marshal(ev)
	if err == nil {
		err = n.bus.PublishEvent(bucket, ev.Kind, body)
	}
	if err != nil && !errors.Is(err, bus.ErrOffline) {
		n.log.Warn("event not published", "kind", ev.Kind, "error", err)
	}
}
