package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"replicator/api"
)

func (n *node) buckets() []string {
	n.tb.Helper()
	var names []string
	for _, b := range n.status().Buckets {
		names = append(names, b.Name)
	}
	return names
}

// TestNodeLeavesABucket: with the command, of three nodes; the others do not miss it,
// and it comes back when it is wanted.
func TestNodeLeavesABucket(t *testing.T) {
	t.Parallel()
	a := embeddedNode(t, "a")
	b, c := connectedNode(t, "b", a.url), connectedNode(t, "c", a.url)
	c.cli("bucket", "create", "orders").ok(t)
	for i := range 50 {
		c.cli("put", fmt.Sprintf("k%d", i), "v", "-b", "orders").ok(t)
	}
	await(t, soon, "all hold the bucket", func() error {
		for _, n := range []*node{a, b} {
			if !slices.Contains(n.buckets(), "orders") {
				return fmt.Errorf("%s holds %v", n.name, n.buckets())
			}
		}
		return nil
	})
	replicator(t, "bucket", "leave", "orders", "--server", a.url).refused(t, exitUsage, "--node")
	c.cli("bucket", "leave", "orders").refused(t, exitUsage, "--yes")
	c.cli("bucket", "leave", "orders", "--yes").ok(t)
	if slices.Contains(c.buckets(), "orders") {
		t.Fatal("c still holds it")
	}
	c.cli("put", "k", "v", "-b", "orders").refused(t, exitFailed, "no such bucket")
	c.cli("bucket", "leave", "orders", "--yes").refused(t, exitFailed, "no such bucket")
	a.cli("verify", "-b", "orders").ok(t)
	a.cli("put", "later", "v", "-b", "orders").ok(t)
	c.restart()
	if slices.Contains(c.buckets(), "orders") {
		t.Error("a start brought it back")
	}
	c.cli("bucket", "create", "orders").ok(t)
	await(t, soon, "c has all of it again", func() error {
		info := decode[api.BucketInfo](t, c.cli("bucket", "info", "orders", "--json").ok(t))
		if info.Keys != 51 {
			return fmt.Errorf("%d keys", info.Keys)
		}
		return nil
	})
	a.cli("verify", "-b", "orders").ok(t)
}

// TestLastHolderIsToldWhyABucketStays: the exit code and the words are those of leave.
func TestLastHolderIsToldWhyABucketStays(t *testing.T) {
	t.Parallel()
	a := embeddedNode(t, "a")
	a.put("k", "v")
	a.cli("bucket", "leave", "default", "--yes", "--timeout", "2s").refused(t, exitBehind, "no live master", "--now")
	a.want("k", "v")
	a.cli("bucket", "leave", "default", "--yes", "--now").ok(t)
	if got := a.buckets(); len(got) > 0 {
		t.Errorf("it holds %v", got)
	}
}

// TestSettingsOfBuckets: what is settled at one node holds at another, and the command
// changes what its flags name, and no more.
func TestSettingsOfBuckets(t *testing.T) {
	t.Parallel()
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.cli("bucket", "settings").ok(t)
	a.cli("bucket", "set", "def*", "--default-ttl", "1h", "--create", "a").ok(t)
	a.cli("bucket", "set", "def*", "--durability", "interval").ok(t)
	want := "def*\tdurability\tinterval\ndef*\tdefault-ttl\t1h0m0s\ndef*\tcreate\ta\n"
	await(t, soon, "b knows", func() error {
		lines := strings.Split(b.cli("bucket", "settings").ok(t).text(), "\n")
		var got strings.Builder
		for _, line := range lines[1:] {
			got.WriteString(strings.Join(strings.Fields(line), "\t") + "\n")
		}
		if got.String() != want {
			return fmt.Errorf("settled is\n%s", got.String())
		}
		return nil
	})
	b.put("k", "v")
	if info := b.cli("get", "k", "--json").ok(t).text(); !strings.Contains(info, `"expiry"`) {
		t.Errorf("a put at b has no end: %s", info)
	}
	b.cli("bucket", "create", "default-2").refused(t, exitFailed, "may not be made at node b, but at a")
	b.cli("put", "k", "v", "-b", "default-2", "--create").refused(t, exitFailed, "may not be made")
	a.cli("bucket", "create", "default-2").ok(t)
	a.cli("bucket", "set", "def*", "--default-ttl", "1ms").refused(t, exitUsage, "default_ttl")
	a.cli("bucket", "set", "a*b", "--durability", "sync").refused(t, exitUsage, "a*b")
	a.cli("bucket", "set", "def*", "--unset", "ttl").refused(t, exitUsage, "default-ttl")
	if got := a.cli("bucket", "set", "def*", "--unset", "all").ok(t).text(); got != "nothing is settled for def*" {
		t.Errorf("%q", got)
	}
}
