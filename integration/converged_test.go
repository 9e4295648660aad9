package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// soon is the promise for links that heal: equal within ten seconds.
const soon = 10 * time.Second

// converged waits until verify proves that the nodes are equal, then compares
// their exports byte by byte. It returns how long the proof took.
func converged(tb testing.TB, limit time.Duration, nodes ...*node) time.Duration {
	tb.Helper()
	took := await(tb, limit, "verify says equal", func() error { return equal(tb, nodes) })
	for _, b := range nodes[0].status().Buckets {
		if !strings.HasPrefix(b.Name, "_") {
			sameExports(tb, b.Name, nodes)
		}
	}
	return took
}

// equal asks verify through every node, for each may see other peers.
func equal(tb testing.TB, nodes []*node) error {
	tb.Helper()
	for _, n := range nodes {
		r := n.run("verify", "--json", "--server", n.url)
		if r.code != exitDone && r.code != exitBehind {
			return errors.New(r.String())
		}
		verdict := decode[struct {
			State         string
			Nodes, Silent []any
		}](tb, r)
		if verdict.State != "equal" || len(verdict.Silent) == 0 && r.code != exitDone { // others may be stopped
			return errors.New(r.String())
		}
		for _, other := range nodes {
			if !slices.Contains(verdict.Nodes, any(other.name)) {
				return fmt.Errorf("%s does not answer, only %v", other.name, verdict.Nodes)
			}
		}
	}
	return nil
}

func sameExports(tb testing.TB, bucket string, nodes []*node) {
	tb.Helper()
	first := nodes[0].sortedExport(bucket)
	for _, n := range nodes[1:] {
		if diff := firstDifference(first, n.sortedExport(bucket)); diff != "" {
			tb.Errorf("bucket %s: export of %s and of %s differ: %s", bucket, nodes[0].name, n.name, diff)
		}
	}
}

// sortedExport is all that a node has in a bucket, one record a line.
func (n *node) sortedExport(bucket string) []byte {
	n.tb.Helper()
	r := n.cli("export", "-b", bucket).ok(n.tb)
	return joinSorted(slices.Collect(bytes.Lines(r.stdout)))
}

func joinSorted(lines [][]byte) []byte {
	slices.SortFunc(lines, bytes.Compare)
	return bytes.Join(lines, nil)
}

func firstDifference(a, b []byte) string {
	if bytes.Equal(a, b) {
		return ""
	}
	as, bs := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return fmt.Sprintf("line %d: %s | %s", i+1, clip(string(as[i])), clip(string(bs[i])))
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}
