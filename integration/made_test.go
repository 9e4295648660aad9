package integration_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
)

// made is count records under prefix, with values of size bytes that do not
// compress to nothing, and are the same in every run.
func made(prefix string, count, size int) []byte {
	rnd := rand.New(rand.NewPCG(1, uint64(count))) //nolint:gosec // no secret
	records := make([]byte, 0, count*(size+len(prefix)+40))
	for i := range count {
		records = append(records, `{"key":"`...)
		records = append(records, prefix...)
		records = fmt.Appendf(records, `%08d","value":"`, i)
		for range size / 8 {
			records = fmt.Appendf(records, "%08x", rnd.Uint32())
		}
		records = append(records, "\"}\n"...)
	}
	return records
}

// numbered is count records that say who wrote them; keep says which of them.
func numbered(count int, value string, keep func(int) bool) []byte {
	var records []byte
	for i := range count {
		if keep == nil || keep(i) {
			records = append(records, `{"key":"k`...)
			records = strconv.AppendInt(records, int64(i), 10)
			records = append(records, `","value":`...)
			records = strconv.AppendQuote(records, value)
			records = append(records, "}\n"...)
		}
	}
	return records
}

func mustAbs(tb testing.TB, path string) string {
	tb.Helper()
	abs, err := filepath.Abs(path)
	must(tb, err)
	return abs
}
