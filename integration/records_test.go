package integration_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"
)

const (
	sampleFile = "testdata/debian-sample.ndjson"
	allRecords = "../../shared/data/debian-packages.ndjson.gz"
)

func TestSampleReachesLateNode(t *testing.T) {
	sample, err := os.ReadFile(sampleFile)
	must(t, err)
	a := embeddedNode(t, "a")
	a.cli("import", mustAbs(t, sampleFile)).ok(t)
	clock := a.bucket().Clock

	// A second import of the same values writes nothing.
	a.load(sample)
	if again := a.bucket().Clock; fmt.Sprint(again) != fmt.Sprint(clock) {
		t.Errorf("clock %v after an import of what was there, %v before", again, clock)
	}

	b := connectedNode(t, "b", a.url)
	took := converged(t, soon, a, b)
	keys := countLines(sample)
	if got := b.bucket().Keys; got != keys {
		t.Errorf("b has %d keys, the sample %d", got, keys)
	}
	t.Logf("%d records equal %.2f s after b was ready", keys, took.Seconds())

	// What comes out goes in again elsewhere, and is the same.
	c := embeddedNode(t, "c")
	c.load(a.cli("export").ok(t).stdout)
	sameExports(t, "default", []*node{a, c})
}

func TestAllRecordsReachLateNode(t *testing.T) {
	if testing.Short() {
		t.Skip("the 63,666 records are left out under -short")
	}
	records := unpack(t, allRecords)
	keys := countLines(records)
	a := embeddedNode(t, "a")
	begun := time.Now()
	a.load(records)
	logRate(t, "imported on a", keys, time.Since(begun))

	begun = time.Now()
	b := connectedNode(t, "b", a.url)
	b.awaitKeys(2*time.Minute, keys)
	logRate(t, "pulled by b, from its start", keys, time.Since(begun))
	converged(t, soon, a, b)

	begun = time.Now()
	var both sync.WaitGroup
	for _, n := range []*node{a, b} {
		both.Go(func() { liveWrites(t, n, 1000) })
	}
	both.Wait()
	logRate(t, "live writes on both, one after the other on each", 2000, time.Since(begun))
	t.Logf("equal %.2f s after the last of them", converged(t, soon, a, b).Seconds())
	if got := b.bucket().Keys; got != keys+2000 {
		t.Errorf("b has %d keys, want %d", got, keys+2000)
	}
}

// liveWrites puts keys one after the other, each acknowledged before the next.
func liveWrites(tb testing.TB, n *node, count int) {
	tb.Helper()
	c := n.client()
	for i := range count {
		if _, err := c.put(context.Background(), fmt.Sprintf("live/%s/%04d", n.name, i), "written while both were up"); err != nil {
			tb.Errorf("put %d on %s: %v", i, n.name, err)
			return
		}
	}
}

func logRate(tb testing.TB, what string, keys uint64, took time.Duration) {
	tb.Helper()
	tb.Logf("%s: %d keys in %.2f s, %.0f keys/s", what, keys, took.Seconds(), float64(keys)/took.Seconds())
}

func unpack(tb testing.TB, path string) []byte {
	tb.Helper()
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		tb.Skipf("no %s beside the repository", path)
	}
	must(tb, err)
	defer file.Close() //nolint:errcheck // read only
	packed, err := gzip.NewReader(file)
	must(tb, err)
	records, err := io.ReadAll(packed)
	must(tb, err)
	return records
}

func countLines(records []byte) uint64 { return uint64(bytes.Count(records, []byte("\n"))) }
