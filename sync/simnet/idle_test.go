package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	"replicator/sync/simnet"
)

// TestIdleMastersAreQuiet lets two healthy masters with one bucket do nothing
// for a day. All that travels is counted, a node's own heartbeats that come back
// to it too, which is more than what the day costs one of them. Subjects and the
// protocol of NATS come on top: some 60 bytes a message.
func TestIdleMastersAreQuiet(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{Nodes: 2, Buckets: []string{"orders"}, Codec: oplog.Msgpack, DelayMax: time.Millisecond})
	w.Node(0).Start()
	w.Node(1).Start()
	w.Node(0).Write("orders", store.Op{Key: []byte("k"), Value: []byte("v")})
	w.Run(5 * time.Minute)
	if err := w.AtRest(); err != nil {
		t.Fatal(err)
	}
	before := w.Stats
	w.Run(24 * time.Hour)
	messages := w.Stats.Count[simnet.Messages] - before.Count[simnet.Messages]
	cost := w.Stats.Count[simnet.Bytes] - before.Count[simnet.Bytes] + 60*messages
	t.Logf("%d messages, %d bytes a day for both ways of a node", messages, cost)
	if cost > 1_000_000 {
		t.Errorf("an idle day costs a node %d bytes, more than 1 MB", cost)
	}
	if messages < 1000 {
		t.Errorf("only %d messages in a day: a lost last write would stay unnoticed for long", messages)
	}
}
