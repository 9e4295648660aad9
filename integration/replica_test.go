package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"replicator/api"
)

// TestReplicaProcess: it follows and serves reads, refuses writes with a remedy,
// passes on what it has to a master that starts while the others are gone, and
// cannot take over the folder of a master.
func TestReplicaProcess(t *testing.T) {
	broker := startBroker(t)
	a := newNode(t, "a", broker.url(), "--server", broker.url()).start()
	r := newNode(t, "r", broker.url(), "--server", broker.url(), "--replica").start()
	a.put("colour", "red")
	a.cliIn(strings.NewReader("{\"key\":\"x\",\"value\":\"1\"}\n{\"key\":\"y\",\"value\":\"2\"}\n"), "batch", "-").ok(t)
	converged(t, soon, a, r)
	r.want("colour", "red")
	for _, args := range [][]string{{"put", "k", "v"}, {"put", "k", "v", "-b", "fresh", "--create"}, {"del", "colour"}} {
		r.cli(args...).refused(t, exitFailed, "replica", "--node")
	}
	for _, verb := range []string{"import", "batch"} {
		r.cliIn(strings.NewReader("{\"key\":\"k\",\"value\":\"v\"}\n"), verb, "-").refused(t, exitFailed, "replica", "--node")
	}
	st := r.status()
	if st.Role != api.RoleReplica || len(st.Buckets) != 1 || len(st.Peers) != 1 || st.Peers[0].Role != api.RoleMaster {
		t.Errorf("status of the replica: %+v", st)
	}
	if !strings.Contains(r.cli("status").ok(t).text(), "ready, a replica") {
		t.Error("status does not tell that it is a replica")
	}
	r.crash()
	a.cli("del", "x").ok(t)
	r.start()
	converged(t, soon, a, r)
	a.stop()
	late := newNode(t, "late", broker.url(), "--server", broker.url()).start()
	converged(t, soon, r, late)
	late.want("colour", "red")
	late.wantNone("x")
	late.put("colour", "blue")
	converged(t, soon, r, late)
	r.want("colour", "blue")

	late.stop()
	refused := replicator(t, "serve", "--replica", "--node", "late", "--data", filepath.Clean(late.dir), "--server", broker.url())
	refused.refused(t, exitFailed, "late", "written", "--replica", "empty folder")
}

// TestReplicaFromTheEnvironment: as a container is set up.
func TestReplicaFromTheEnvironment(t *testing.T) {
	broker := startBroker(t)
	r := newNode(t, "r", broker.url(), "--server", broker.url())
	r.env = []string{"REPLICATOR_REPLICA=true", "REPLICATOR_EVICT_REPLICAS_AFTER=2h"}
	if r.start(); r.status().Role != api.RoleReplica {
		t.Error("REPLICATOR_REPLICA is not heeded")
	}
}
