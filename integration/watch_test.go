package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"replicator/api"
)

// A reader follows a bucket from node to node and keeps what it was told.
type reader struct {
	rows  map[string]string
	token string
}

// follow watches at a node from where the reader is until it is content, then the
// watch is killed, in the midst of what it says perhaps.
func (r *reader) follow(t *testing.T, n *node, content func() bool) {
	t.Helper()
	from := []string{"--from-start"}
	if r.token != "" {
		from = []string{"--resume", r.token}
	}
	var out logbook
	cmd := commandOf(t, slices.Concat([]string{"watch", "--json", "--marks"}, from, n.target())...)
	cmd.Stdout, cmd.Stderr = &out, &out
	w := spawn(t, cmd)
	read := 0
	await(t, patience, "the reader has caught up at "+n.name, func() error {
		text := out.String()[read:]
		whole := strings.LastIndexByte(text, '\n') + 1
		read += whole
		for line := range strings.Lines(text[:whole]) {
			r.take(t, line)
		}
		if !w.running() {
			t.Fatalf("the watch ended: %s", out.tail(3))
		}
		if !content() {
			return errNotYet
		}
		return nil
	})
	w.kill(t)
}

func (r *reader) take(t *testing.T, line string) {
	t.Helper()
	var mark struct{ Mark *api.WatchMark }
	if err := json.Unmarshal([]byte(line), &mark); err == nil && mark.Mark != nil {
		r.token = mark.Mark.Token
		return
	}
	rec, err := api.ParseRecord([]byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if rec.Deleted {
		delete(r.rows, string(rec.Key))
	} else {
		r.rows[string(rec.Key)] = string(rec.Value)
	}
}

// TestReaderMovesFromNodeToNode: with a token, while all of them write and one after
// the other is killed. It ends with the rows that there are, and missed no delete.
func TestReaderMovesFromNodeToNode(t *testing.T) {
	a := embeddedNode(t, "a")
	nodes := []*node{a, connectedNode(t, "b", a.url), connectedNode(t, "c", a.url)}
	write := func(n *node, round int) {
		var lines strings.Builder
		for i := range 40 {
			fmt.Fprintf(&lines, "{\"key\":\"%s/%02d\",\"value\":\"%d\"}\n", n.name, (i+round)%60, round)
			if i%4 == 0 {
				fmt.Fprintf(&lines, "{\"key\":\"%s/%02d\",\"deleted\":true}\n", n.name, (i*7+round)%60)
			}
		}
		n.cliIn(strings.NewReader(lines.String()), "import", "-").ok(t)
	}
	r := &reader{rows: map[string]string{}}
	for round := range 9 {
		at, killed := nodes[round%3], nodes[1+round%2]
		for _, n := range nodes {
			write(n, round)
		}
		before := r.token
		r.follow(t, at, func() bool { return r.token != before })
		killed.crash()
		write(a, round)
		killed.start()
	}
	converged(t, patience, nodes...)
	want := map[string]string{}
	for line := range strings.Lines(a.cli("export").ok(t).text()) {
		rec, err := api.ParseRecord([]byte(line))
		must(t, err)
		want[string(rec.Key)] = string(rec.Value)
	}
	r.follow(t, nodes[2], func() bool { return maps.Equal(r.rows, want) })
	if len(want) == 0 {
		t.Error("no rows are left to compare")
	}
}
