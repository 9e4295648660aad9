package replicator_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"replicator"
)

// TestCleanStopKeepsTheEpoch: a node that was stopped goes on as the origin it
// was, a copy of its folder does not.
func TestCleanStopKeepsTheEpoch(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil || runtime.GOOS != "linux" {
		t.Skip("no folder in memory here for the ticket of a clean stop")
	}
	server, base := startServer(t), t.TempDir()
	run := func(dir string) replicator.Entry {
		n := open(t, server.ClientURL(), replicator.Config{Node: "a", Dir: dir})
		e := put(t, bucket(t, n), "k", dir)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		return e
	}
	dir, copied := filepath.Join(base, "data"), filepath.Join(base, "copy")
	first := run(dir)
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	second, other := run(dir), run(copied)
	if second.Stamp.Origin != first.Stamp.Origin || second.Stamp.Seq != first.Stamp.Seq+1 {
		t.Errorf("after a clean stop %s:%d follows %s:%d", second.Stamp.Origin, second.Stamp.Seq, first.Stamp.Origin, first.Stamp.Seq)
	}
	if other.Stamp.Origin == first.Stamp.Origin {
		t.Errorf("the copy writes as %s too", other.Stamp.Origin)
	}
}
