package oplog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"replicator/oplog"
)

// checkDecode holds Decode to its promises on any bytes: no panic, little
// memory, nothing kept of the body, and what decodes survives the wire.
func checkDecode(tb testing.TB, body []byte) {
	tb.Helper()
	own := bytes.Clone(body)
	m, err := oplog.Decode(own)
	for i := range own {
		own[i] ^= 0xa5
	}
	if err != nil {
		return
	}
	for _, c := range codecs {
		out, err := oplog.Encode(c, m)
		if err != nil {
			tb.Fatalf("%q decodes but does not encode as %s: %v", body, c, err)
		}
		if len(out) > oplog.MaxBody {
			continue
		}
		back, err := oplog.Decode(out)
		if err != nil {
			tb.Fatalf("%q decodes, then as %s %q does not: %v", body, c, out, err)
		}
		if d := diff(m, back); d != "" {
			tb.Fatalf("%q changes as %s:\n%s", body, c, d)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.golden"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, c := range codecs {
			if body, err := golden[c].body(text); err == nil {
				f.Add(body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n := allocated(func() { _, _ = oplog.Decode(body) })
		if n > 1<<20+maxTimes*uint64(len(body)) {
			t.Fatalf("body of %d bytes took %d", len(body), n)
		}
		checkDecode(t, body)
	})
}

func FuzzParseOrigin(f *testing.F) {
	for _, s := range []string{"", "a/0000000000000001", "a/b/0000000000000001", "paris-1/FFFFFFFFFFFFFFFF", "/0000000000000001", "a/+000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := oplog.ParseOrigin(s)
		if err != nil {
			return
		}
		if !oplog.ValidName(o.Node) {
			t.Fatalf("%q gives the node %q", s, o.Node)
		}
		if again, err := oplog.ParseOrigin(o.String()); err != nil || again != o {
			t.Fatalf("%q is %v, again %v, %v", s, o, again, err)
		}
	})
}
