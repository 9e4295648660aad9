package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"replicator/api"
)

// The contract that others script against, as the issue has it.

func TestCommandsKeepTheirContract(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)

	if r := a.cli("get", "none"); r.code != exitNotFound || len(r.stdout) > 0 {
		t.Errorf("get of no key: %v", r)
	}
	if r := a.cli("del", "none"); r.code != exitNotFound {
		t.Errorf("del of no key: %v", r)
	}
	if r := a.cli("frobnicate"); r.code != exitUsage {
		t.Errorf("a command that is none: %v", r)
	}
	if r := a.cli("put", "only-a-key"); r.code != exitUsage {
		t.Errorf("put without a value: %v", r)
	}
	a.put("fruit/apple", "red")
	a.put("fruit/plum", "blue")
	a.cliIn(strings.NewReader("from stdin\n"), "put", "text", "-").ok(t)
	a.want("text", "from stdin\n")
	if got := a.cli("ls", "fruit/").ok(t).text(); got != "fruit/apple\nfruit/plum" {
		t.Errorf("ls fruit/ printed %q", got)
	}
	converged(t, soon, a, b)
	got := decode[map[string]any](t, b.cli("get", "fruit/apple", "--json").ok(t))
	for _, field := range []string{"key", "value", "origin", "seq", "timestamp", "node"} {
		if got[field] == nil {
			t.Errorf("get --json has no %s: %v", field, got)
		}
	}
	if got["node"] != "b" || got["value"] != "red" || !strings.HasPrefix(fmt.Sprint(got["origin"]), "a/") {
		t.Errorf("get --json: %v", got)
	}
	a.cli("put", "k", "v", "-b", "orders", "--create").ok(t)
	await(t, soon, "b joins the bucket it hears of", func() error {
		if r := b.cli("get", "k", "-b", "orders"); r.code != exitDone {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	converged(t, soon, a, b)
}

func TestStatusTellsPeers(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.put("k", "v")
	converged(t, soon, a, b)
	await(t, soon, "a knows that b has all", func() error {
		for _, peer := range a.bucket().Peers {
			if peer.Node == "b" && peer.InSync && peer.Behind != nil && *peer.Behind == 0 {
				return nil
			}
		}
		return fmt.Errorf("%+v", a.bucket().Peers)
	})
	// The fields scripts read, by their names.
	raw := decode[map[string]json.RawMessage](t, a.cli("status", "--json").ok(t))
	for _, field := range []string{"node", "ready", "buckets"} {
		if raw[field] == nil {
			t.Errorf("status --json has no %s", field)
		}
	}
	var buckets []map[string]json.RawMessage
	must(t, json.Unmarshal(raw["buckets"], &buckets))
	for _, field := range []string{"name", "keys", "clock", "hash", "peers"} {
		if buckets[0][field] == nil {
			t.Errorf("a bucket of status --json has no %s", field)
		}
	}
	for _, line := range []string{a.cli("status").ok(t).text(), replicator(t, "verify", "--server", a.url).ok(t).text()} {
		if !strings.Contains(line, "default") && !strings.Contains(line, "equal") {
			t.Errorf("printed: %s", line)
		}
	}
}

func TestSyncOnceAndWaitEnd(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.load(made("x/", 5000, 100))
	if got := b.cli("sync", "--once").ok(t).text() + b.cli("sync", "--once").stderr; !strings.Contains(got, "in sync") {
		t.Errorf("sync --once said %q", got)
	}
	sameExports(t, "default", []*node{a, b})
	for _, n := range []*node{a, b} {
		n.cli("wait", "--in-sync", "--timeout", "10s").ok(t)
	}
	converged(t, soon, a, b)

	// Nobody is there to be in sync with: it says so in bounded time.
	b.freeze()
	a.put("k", "v")
	begun := time.Now()
	r := a.cli("wait", "--in-sync", "--timeout", "2s")
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("wait --timeout 2s took %v", took)
	}
	noTrace(t, r.stderr)
	b.thaw()
	converged(t, soon, a, b)
}

func TestVerifyTellsBehind(t *testing.T) {
	p := apartPair(t, "a", "b")
	a, b := p.dialed, p.dialer
	p.cable.heal()
	a.put("k", "v")
	converged(t, patience, a, b)
	// While a large pull runs b is behind, and verify says so with its own code.
	p.cable.cut()
	a.load(made("bulk/", 30000, 200))
	p.cable.heal()
	await(t, soon, "verify says behind", func() error {
		r := replicator(t, "verify", "--server", a.url)
		if r.code != exitBehind {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	converged(t, patience, a, b)
}

func TestWatchTellsOfBothSides(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	var out logbook
	cmd := commandOf(t, append([]string{"watch", "seen/", "--json"}, b.target()...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	w := spawn(t, cmd)
	await(t, patience, "both writes are told", func() error {
		a.put("seen/by-a", "1") // again and again, for it may not watch yet
		b.put("seen/by-b", "2")
		a.put("other", "3")
		return errors.Join(lineWith(out.String(), []string{"seen/by-a"}), lineWith(out.String(), []string{"seen/by-b"}))
	})
	w.kill(t)
	if strings.Contains(out.String(), "other") {
		t.Errorf("a key outside the prefix was told: %s", out.String())
	}
	for line := range strings.Lines(out.String()) {
		if _, err := api.ParseRecord([]byte(line)); err != nil {
			t.Errorf("line %s: %v", line, err)
		}
	}
	converged(t, soon, a, b)
}

func TestSettingsFromEnvironmentAndFile(t *testing.T) {
	a := embeddedNode(t, "a")
	a.put("k", "v")
	ask := func(env []string, args ...string) result {
		cmd := commandOf(t, args...)
		cmd.Env = cleanEnv(env...)
		return finish(t, cmd)
	}
	if r := ask([]string{"NATS_URL=" + a.url, "REPLICATOR_NODE=a"}, "get", "k"); string(r.stdout) != "v" {
		t.Errorf("by environment: %v", r)
	}
	if r := ask([]string{"NATS_URL=" + a.url}, "get", "k"); string(r.stdout) != "v" {
		t.Errorf("without a node named: %v", r)
	}
	// The flag stands over the environment.
	if r := ask([]string{"NATS_URL=nats://127.0.0.1:1"}, "get", "k", "--server", a.url); string(r.stdout) != "v" {
		t.Errorf("flag over environment: %v", r)
	}
	converged(t, soon, a)
}
