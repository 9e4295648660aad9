package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// A pair is two masters, each with a NATS server of its own, and the cable
// between them.
type pair struct {
	dialed, dialer *node
	cable          *proxy
}

// apartPair starts two masters that do not know of each other. When the cable
// is healed, the dialer finds the other.
func apartPair(tb testing.TB, dialed, dialer string) pair {
	tb.Helper()
	clients, leafs := freeAddress(tb), freeAddress(tb)
	config := filepath.Join(tb.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\nleafnodes { listen: %q, no_advertise: true }\n", clients, leafs)
	must(tb, os.WriteFile(config, []byte(text), 0o600))
	cable := startProxy(tb, leafs)
	cable.cut()
	return pair{
		dialed: newNode(tb, dialed, "nats://"+clients, "--nats-config", config).start(),
		dialer: embeddedNode(tb, dialer, "--join", "nats-leaf://"+cable.address()),
		cable:  cable,
	}
}

func TestLaterWriteWinsOnBothSides(t *testing.T) {
	for _, dialer := range []string{"a", "b"} {
		t.Run(dialer+" dials", func(t *testing.T) { laterWins(t, dialer) })
	}
}

func laterWins(t *testing.T, dialer string) {
	t.Helper()
	const keys = 200
	other := map[string]string{"a": "b", "b": "a"}[dialer]
	p := apartPair(t, other, dialer)
	a, b := p.dialed, p.dialer
	if dialer == "a" {
		a, b = b, a
	}
	even := func(i int) bool { return i%2 == 0 }
	odd := func(i int) bool { return i%2 == 1 }
	a.load(numbered(keys, "from a", odd))
	b.load(numbered(keys, "from b", nil))
	a.load(numbered(keys, "from a", even))
	deletesAndPuts(a, b)
	if n := len(a.bucket().Clock); n != 1 {
		t.Fatalf("a knows %d origins while apart", n)
	}

	p.cable.heal()
	t.Logf("equal %.2f s after the link", converged(t, soon, a, b).Seconds())
	for _, n := range []*node{a, b} {
		values := n.values()
		for i := range keys {
			want := "from a"
			if odd(i) {
				want = "from b"
			}
			if key := "k" + strconv.Itoa(i); values[key] != want {
				t.Errorf("%s has %q at %s, the later write is %q", n.name, values[key], key, want)
			}
		}
		n.want("deleted-then-put", "put by b")
		n.wantNone("put-then-deleted")
	}
	conflictsAreTold(t, a, b)
}

// conflictsAreTold wants every write that lost on the list of its node, and one
// taken back to win.
func conflictsAreTold(t *testing.T, a, b *node) {
	t.Helper()
	lost := map[string]int{}
	for line := range bytes.Lines(replicator(t, "conflicts", "--json", "--server", a.url).ok(t).stdout) {
		var l map[string]any
		must(t, json.Unmarshal(line, &l))
		lost[fmt.Sprint(l["node"])]++
		if l["key"] != "k1" {
			continue
		}
		id := fmt.Sprint(l["id"])
		of := func(verb string) result { return replicator(t, "conflicts", verb, id, "--server", b.url) }
		if got := string(of("show").ok(t).stdout); got != "from a" {
			t.Errorf("conflicts show %s: %q", id, got)
		}
		of("take").ok(t)
		if r := of("take"); r.code != exitNotFound {
			t.Errorf("taken twice: %v", r)
		}
	}
	// b lost to a's later writes of even keys, a to b's of odd ones; each also
	// lost one of the two that were deleted on one side.
	if lost["a"] != 101 || lost["b"] != 101 {
		t.Errorf("lost writes by node: %v", lost)
	}
	// All that lost on a count there. Those of b do too, unless b had overwritten
	// them before a read its log.
	if n := a.bucket().Conflicts; n < 101 || n > 202 {
		t.Errorf("a counts %d conflicts", n)
	}
	converged(t, soon, a, b)
	b.want("k1", "from a")
}

// deletesAndPuts leaves a delete on one side against a put on the other, in
// both orders.
func deletesAndPuts(a, b *node) {
	a.put("deleted-then-put", "old")
	a.cli("del", "deleted-then-put").ok(a.tb)
	b.put("deleted-then-put", "put by b")

	a.put("put-then-deleted", "old")
	b.put("put-then-deleted", "put by b")
	a.cli("del", "put-then-deleted").ok(a.tb)
}

// A master that worked alone is started anew with the address of another.
func TestLoneMasterJoinsAnother(t *testing.T) {
	a, b := embeddedNode(t, "a"), embeddedNode(t, "b")
	a.load(numbered(200, "from a", nil))
	b.load(numbered(200, "from b", nil))
	b.stop()
	b.url, b.args = a.url, []string{"--server", a.url}
	b.start()
	t.Logf("equal %.2f s after b was ready", converged(t, soon, a, b).Seconds())
	a.want("k7", "from b")
}

// values is all that a node has, as text.
func (n *node) values() map[string]string {
	n.tb.Helper()
	values := map[string]string{}
	for key, r := range n.records() {
		values[key] = string(r.Value)
	}
	return values
}
