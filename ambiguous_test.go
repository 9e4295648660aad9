package replicator_test

import (
	"encoding/json"
	"testing"
	"time"

	"replicator"
	"replicator/api"
)

// TestAmbiguousWriteIsTold: c wrote a key while it was away, a has deleted it
// later and forgotten that. Whichever of the two meets that first acts on its
// policy; both agree, an event tells of it, and what is parked can be taken back.
func TestAmbiguousWriteIsTold(t *testing.T) {
	for policy, want := range map[replicator.AmbiguousPolicy]string{
		replicator.AmbiguousKeep: "alone", replicator.AmbiguousDelete: "", replicator.AmbiguousPark: "",
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			s, apart := startServer(t), startServer(t)
			cfg := func(name, dir string) replicator.Config {
				return replicator.Config{Node: name, Dir: dir, CollectEvery: 100 * time.Millisecond, EvictAfter: 2 * time.Second, Ambiguous: policy}
			}
			a, dir := open(t, s.ClientURL(), cfg("a", "")), t.TempDir()
			c := open(t, s.ClientURL(), cfg("c", dir))
			put(t, bucket(t, a), "k", "first")
			eventually(t, "c has it", has(bucket(t, c), "k", "first"))
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = open(t, apart.ClientURL(), cfg("c", dir))
			e := put(t, bucket(t, c), "k", "alone")
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			del(t, bucket(t, a), "k")
			eventually(t, "a forgets the delete without c", func() bool { return tombstones(t, a) == 0 })
			events, err := connect(t, s.ClientURL(), "watcher").SubscribeSync("replicator.default.event.gc_ambiguous.*")
			if err != nil {
				t.Fatal(err)
			}
			c = open(t, s.ClientURL(), cfg("c", dir))
			msg, err := events.NextMsg(20 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var ev map[string]any
			if err := json.Unmarshal(msg.Data, &ev); err != nil || ev["key"] != "k" || ev["loser"] != e.Dot().String() || ev["winner"] == nil {
				t.Errorf("%s, %v", msg.Data, err)
			}
			for name, n := range map[string]*replicator.Node{"a": a, "c": c} {
				ok := gone(bucket(t, n), "k")
				if want != "" {
					ok = has(bucket(t, n), "k", want)
				}
				eventually(t, name+" agrees", ok)
			}
			parked := policy == replicator.AmbiguousPark
			if kept := takeBack(t, s.ClientURL(), e.Dot().String()); kept != parked {
				t.Errorf("a copy is kept: %v", kept)
			}
			if parked {
				eventually(t, "what was parked is back", has(bucket(t, a), "k", "alone"))
			}
		})
	}
}

// takeBack has the node that parked a write do it again, and reports whether any
// had.
func takeBack(t *testing.T, url, id string) bool {
	t.Helper()
	client, err := api.NewClient(connect(t, url, "client"), api.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // the connection goes, too
	for l, err := range client.Conflicts(t.Context(), "", replicator.DefaultBucket) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Entry.Dot().String() != id || !l.Parked {
			continue
		}
		if _, err := client.TakeConflict(t.Context(), l.Node, replicator.DefaultBucket, l.Entry.Dot()); err != nil {
			t.Fatal(err)
		}
		return true
	}
	return false
}
