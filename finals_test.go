package replicator_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"replicator"
)

// TestEndedOriginsAreTold: a node that was started many times, each time as
// after a crash, tells the fleet which of its origins have ended, and both sides
// then know the same list.
func TestEndedOriginsAreTold(t *testing.T) {
	s, parent := startServer(t), t.TempDir()
	dir := filepath.Join(parent, "0")
	b := open(t, s.ClientURL(), short("b", ""))
	var a *replicator.Node
	for i := range 18 {
		if a != nil {
			closeAll(t, a)
			moved := filepath.Join(parent, strconv.Itoa(i)) // the ticket is for the folder of before
			if err := os.Rename(dir, moved); err != nil {
				t.Fatal(err)
			}
			dir = moved
		}
		a = open(t, s.ClientURL(), short("a", dir))
		put(t, bucket(t, a), "k", "v")
	}
	eventually(t, "a has told of 17 origins, and b heard of them", func() bool {
		st := b.Status(t.Context())
		return len(st.Buckets) == 1 && st.Buckets[0].Ended == 17 && a.Status(t.Context()).Buckets[0].Ended == 17
	})
	eventually(t, "b has all", has(bucket(t, b), "k", "v"))
}
