package replicator

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"replicator/bus"
	"replicator/oplog"
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
	Text   string    `json:"text"`
	Time   time.Time `json:"time"`
}

// raise tells people of something: in the log, and as a message that anyone
// with the nats CLI can follow.
func (n *Node) raise(a syncer.Raise) {
	n.publishEvent(event{Kind: string(a.Kind), Bucket: a.Bucket, Peer: a.Peer, Text: a.Text})
}

func (n *Node) raiseFuture(bucket string, e *oplog.Entry) {
	n.publishEvent(event{
		Kind: "future_clock", Bucket: bucket, Peer: e.Stamp.Origin.Node, Key: string(e.Key),
		Text: fmt.Sprintf("%s wrote with a clock of %s", e.Stamp.Origin.Node, e.Stamp.HLC.Time().Format(time.RFC3339)),
	})
}

func (n *Node) raiseFork(bucket string, e *oplog.Entry) {
	n.publishEvent(event{
		Kind: "fork", Bucket: bucket, Peer: e.Stamp.Origin.Node, Key: string(e.Key),
		Text: fmt.Sprintf("two different writes are named %s: a disk image of %s was started twice", e.Dot(), e.Stamp.Origin.Node),
	})
}

func (n *Node) publishEvent(ev event) {
	ev.V, ev.Type, ev.Node, ev.Time = 1, "event", n.self.Node, time.Now().UTC()
	n.log.Warn("event", "kind", ev.Kind, "bucket", ev.Bucket, "peer", ev.Peer, "text", ev.Text)
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
