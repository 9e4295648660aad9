package integration_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"replicator/api"
)

// TestBatchArrivesWholeOrNotAtAll: a batch with one bad line writes nothing, one
// of 12 MiB goes from process to process as one, a killed writer has all of it
// or nothing.
func TestBatchArrivesWholeOrNotAtAll(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	lines := func(n, size int, bad string) string {
		var out strings.Builder
		for i := range 200 {
			fmt.Fprintf(&out, "{\"key\":\"k%d\",\"value\":\"%d %s\"}\n", i, n, strings.Repeat("x", size))
		}
		return out.String() + bad
	}
	for _, bad := range []string{"nonsense\n", `{"key":"","value":""}` + "\n", `{"key":"k"}` + "\n"} {
		a.cliIn(strings.NewReader(lines(0, 10, bad)), "batch", "-").refused(t, exitFailed, "nothing was written")
	}
	if r := a.cli("export").ok(t); len(r.stdout) > 0 {
		t.Fatalf("a batch that was refused left %s", clip(r.text()))
	}
	var last int
	for n, size := range []int{10, 60 << 10, 500} {
		res := decode[api.BatchResult](t, a.cliIn(strings.NewReader(lines(n, size, `{"key":"none","deleted":true}`)), "batch", "-", "--json").ok(t))
		if res.Written != 200 || res.Absent != 1 || res.Last-res.First != 199 || res.Node != "a" {
			t.Fatalf("%+v", res)
		}
		last = n
		converged(t, soon, a, b)
		wholeRound(t, b)
	}
	done := make(chan result, 1)
	go func() { done <- a.cliIn(strings.NewReader(lines(last+1, 30<<10, "")), "batch", "-") }()
	a.crash() // when it comes is up to the machine
	<-done
	a.start()
	converged(t, soon, a, b)
	wholeRound(t, b)
}

// wholeRound fails unless all keys have values of one round.
func wholeRound(tb testing.TB, n *node) {
	tb.Helper()
	rounds := map[string]int{}
	for line := range bytes.Lines(n.cli("export").ok(tb).stdout) {
		r, err := api.ParseRecord(line)
		must(tb, err)
		round, _, _ := strings.Cut(string(r.Value), " ")
		rounds[round]++
	}
	if len(rounds) != 1 {
		tb.Fatalf("rounds at %s: %v, want one", n.name, rounds)
	}
}
