package integration_test

import (
	"os/exec"
	"strings"
	"testing"
)

const natsRemedy = "go install github.com/nats-io/natscli/nats@v0.5.1"

// natsCLI is the nats program, as its users run it.
func natsCLI(tb testing.TB, n *node, args ...string) *exec.Cmd {
	tb.Helper()
	path := tool(tb, "nats", natsRemedy)
	cmd := exec.Command(path, append([]string{"--server", n.url}, args...)...)
	cmd.Dir, cmd.Env = scratch, cleanEnv()
	return cmd
}

func TestWritesAreReadableByNatsSub(t *testing.T) {
	for _, tc := range []struct {
		codec string
		args  []string
		words []string // on one line
	}{
		{"json", nil, []string{`"greeting"`, `"hello, привет"`}},
		{"json", []string{"--translate", program(t) + " decode"}, []string{"greeting", "hello, привет", "a/"}},
		{"msgpack", []string{"--translate", program(t) + " decode"}, []string{"greeting", "hello, привет", "a/"}},
	} {
		t.Run(tc.codec+strings.Join(tc.args, " ")[:min(len(tc.args), 1)*len("--translate")], func(t *testing.T) {
			a := embeddedNode(t, "a", "--codec", tc.codec)
			b := connectedNode(t, "b", a.url)
			var out logbook
			cmd := natsCLI(t, a, append([]string{"sub", "replicator.*.live.*"}, tc.args...)...)
			cmd.Stdout, cmd.Stderr = &out, &out
			sub := spawn(t, cmd)
			await(t, patience, "nats sub shows the write", func() error {
				a.put("greeting", "hello, привет") // again and again, for it may not listen yet
				return lineWith(out.String(), tc.words)
			})
			sub.kill(t)
			t.Log(clip(out.String()))
			converged(t, soon, a, b)
		})
	}
}

func lineWith(text string, words []string) error {
	for line := range strings.Lines(text) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return nil
		}
	}
	return errMissing(words, text)
}

func TestNatsMicroShowsNodes(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.put("k", "v")
	converged(t, soon, a, b)
	for _, tc := range []struct {
		args  []string
		words []string
	}{
		{[]string{"micro", "ls"}, []string{"replicator"}},
		{[]string{"micro", "info", "replicator"}, []string{"replicator", "api"}},
		{[]string{"micro", "stats", "replicator"}, []string{"put", "get"}},
	} {
		r := finish(t, natsCLI(t, a, tc.args...))
		if r.code != 0 {
			t.Errorf("nats %v: %v", tc.args, r)
		}
		t.Log(clip(string(r.stdout)))
		for _, word := range tc.words {
			if !strings.Contains(string(r.stdout), word) {
				t.Errorf("nats %v: no %q in\n%s", tc.args, word, r.stdout)
			}
		}
	}
	// Both nodes answer, and what the documentation says of nats req holds.
	r := finish(t, natsCLI(t, a, "micro", "ls", "--json"))
	for _, name := range []string{"a", "b"} {
		if !strings.Contains(string(r.stdout), `"`+name+`"`) {
			t.Errorf("node %s is not listed: %s", name, r.stdout)
		}
	}
	r = finish(t, natsCLI(t, a, "req", "--raw", "replicator.default.api.any.get", "k"))
	if got := strings.TrimSpace(string(r.stdout)); got != "v" {
		t.Errorf("nats req get: %v", r)
	}
}
