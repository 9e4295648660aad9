package replicator_test

import (
	"errors"
	"testing"
	"time"

	"replicator"
	"replicator/api"
	"replicator/oplog"
)

// TestReplicaFollowsAndRefuses: it has all rows, tells its role, and takes
// nothing from its own clients.
func TestReplicaFollowsAndRefuses(t *testing.T) {
	s := startServer(t)
	a := open(t, s.ClientURL(), replicator.Config{Node: "a"})
	put(t, bucket(t, a), "before", "1")
	r := open(t, s.ClientURL(), replicator.Config{Node: "r", Replica: true})
	b := bucket(t, r)
	eventually(t, "what was there arrives", has(b, "before", "1"))
	put(t, bucket(t, a), "live", "2")
	eventually(t, "what is written arrives", has(b, "live", "2"))
	for name, err := range map[string]error{
		"put":    second(b.Put(t.Context(), []byte("k"), nil)),
		"delete": second(b.Delete(t.Context(), []byte("live"))),
		"batch":  second(b.Batch(t.Context(), replicator.Op{Key: []byte("k")}, replicator.Op{Key: []byte("l")})),
	} {
		if !errors.Is(err, replicator.ErrReplica) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.Keys() != 2 || len(b.Clock()) != 1 {
		t.Errorf("%d keys, clock %v", b.Keys(), b.Clock())
	}
	if err := r.Leave(t.Context(), false); !errors.Is(err, replicator.ErrReplicaStays) {
		t.Errorf("leave: %v", err)
	}
	if !r.Replica() || a.Replica() || r.Status(t.Context()).Role != api.RoleReplica {
		t.Error("the role is not told")
	}
	eventually(t, "each knows the other's role", func() bool {
		pa, pr := a.Status(t.Context()).Peers, r.Status(t.Context()).Peers
		return len(pa) == 1 && len(pr) == 1 && pa[0].Role == api.RoleReplica && pr[0].Role == api.RoleMaster
	})
}

// TestWritesToAnyNodeLandOnAMaster: replicas answer reads only.
func TestWritesToAnyNodeLandOnAMaster(t *testing.T) {
	s := startServer(t)
	open(t, s.ClientURL(), replicator.Config{Node: "a", Replica: true})
	m := open(t, s.ClientURL(), replicator.Config{Node: "m"})
	open(t, s.ClientURL(), replicator.Config{Node: "z", Replica: true})
	nc := connect(t, s.ClientURL(), "client")
	line := (&api.Record{Key: []byte("k"), Value: []byte("v")}).AppendJSON(nil)
	for range 20 {
		msg, err := nc.Request("replicator.default.api.any.put", line, 5*time.Second)
		if err != nil || msg.Header.Get("Nats-Service-Error-Code") != "" {
			t.Fatal(err, msg)
		}
	}
	if got := bucket(t, m).Clock(); len(got) != 1 || got[got.Origins()[0]] != 20 {
		t.Errorf("clock %v, want 20 writes of one", got)
	}
	c, err := api.NewClient(nc, api.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the connection goes, too
	if res, err := c.Put(t.Context(), "default", []byte("k"), []byte("w"), api.PutOptions{}); err != nil || res.Node != "m" {
		t.Errorf("a client that names no node writes to %q, %v", res.Node, err)
	}
	to, err := api.NewClient(nc, api.ClientOptions{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close() //nolint:errcheck // likewise
	for name, err := range map[string]error{
		"put":  second(to.Put(t.Context(), "fresh", []byte("k"), nil, api.PutOptions{Create: true})),
		"load": second(to.Load(t.Context(), "default", append(line, '\n'), api.LoadOptions{})),
		"take": second(to.TakeConflict(t.Context(), "", "default", oplog.Dot{Origin: oplog.Origin{Node: "a", Epoch: 1}, Seq: 1})),
	} {
		if !errors.Is(err, api.ErrReplica) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMasterIsNoReplica: a folder that was written to is not opened as one.
func TestMasterIsNoReplica(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	a := open(t, s.ClientURL(), replicator.Config{Node: "a", Dir: dir})
	put(t, bucket(t, a), "k", "v")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := replicator.Config{Node: "a", Dir: dir, Conn: connect(t, s.ClientURL(), "a"), Replica: true}
	if _, err := replicator.Open(t.Context(), cfg); !errors.Is(err, replicator.ErrHasWritten) {
		t.Fatalf("%v", err)
	}
	if !has(bucket(t, open(t, s.ClientURL(), replicator.Config{Dir: dir})), "k", "v")() {
		t.Error("the folder has changed")
	}
}
