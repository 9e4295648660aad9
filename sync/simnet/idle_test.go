package simnet_test

import (
	"testing"
	"time"

	"replicator/oplog"
	"replicator/store"
	syncer "replicator/sync"
	"replicator/sync/simnet"
)

// TestIdleMastersAreQuiet lets two healthy masters with one bucket, and the
// fleet's own, do nothing for a day. Each heartbeat is carried to both of them. A
// node sends its own once and gets two, its own among them: that is three of the
// four that are counted. Subjects and the protocol of NATS come on top: some 60
// bytes a message.
func TestIdleMastersAreQuiet(t *testing.T) {
	w := simnet.NewWorld(1, simnet.Config{
		Nodes: 2, Buckets: []string{"orders", syncer.Fleet}, Codec: oplog.Msgpack, DelayMax: time.Millisecond,
	})
	w.Node(0).Start()
	w.Node(1).Start()
	w.Node(0).Write("orders", store.Op{Key: []byte("k"), Value: []byte("v")})
	w.Node(0).Forget("x") // so that the fleet's own bucket has something to tell
	w.Run(5 * time.Minute)
	if err := w.AtRest(); err != nil {
		t.Fatal(err)
	}
	before := w.Stats
	w.Run(24 * time.Hour)
	messages := w.Stats.Count[simnet.Messages] - before.Count[simnet.Messages]
	cost := (w.Stats.Count[simnet.Bytes] - before.Count[simnet.Bytes] + 60*messages) * 3 / 4
	t.Logf("%d messages, %d bytes a day for a node", messages, cost)
	if cost > 1_000_000 {
		t.Errorf("an idle day costs a node %d bytes, more than 1 MB", cost)
	}
	if messages < 1000 {
		t.Errorf("only %d messages in a day: a lost last write would stay unnoticed for long", messages)
	}
}
