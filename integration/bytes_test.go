package integration_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestAnyBytesArrive(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	keys := [][]byte{
		[]byte("plain"),
		{0},
		{0xff},
		[]byte("\x00\xff\x00"), []byte("ключ/Привет"), []byte("🙂🧑‍🚀"), []byte("two\nlines\r\n"),
		[]byte(" space "), []byte("a.b.*.>"), []byte(`"quoted\`), []byte("-b"), bytes.Repeat([]byte{0xfe}, 4096), []byte("\u2028"),
	}
	values := [][]byte{
		{}, {0}, {0xff}, []byte("Кириллица"), []byte("🙂"), []byte("line\n"), []byte("\r\n\n"), []byte("\x01\x02{"), []byte(`{"key":1}`), everyByte(),
	}
	from, to := a, b
	for i, key := range keys {
		k64 := base64.StdEncoding.EncodeToString(key)
		value := values[i%len(values)]
		from.cliIn(bytes.NewReader(value), "put", "--key-b64", k64, "-").ok(t)
		from, to = to, from
	}
	for i, value := range values {
		from.cliIn(bytes.NewReader(value), "put", fmt.Sprint("value/", i), "-").ok(t)
	}
	converged(t, soon, a, b)
	for _, n := range []*node{a, b} {
		for i, key := range keys {
			got := n.cli("get", "--key-b64", base64.StdEncoding.EncodeToString(key)).ok(t).stdout
			if want := values[i%len(values)]; !bytes.Equal(got, want) {
				t.Errorf("%s has %q at %q, want %q", n.name, got, key, want)
			}
		}
		for i, want := range values {
			n.want(fmt.Sprint("value/", i), string(want))
		}
	}
	if got, want := a.bucket().Keys, uint64(len(keys)+len(values)); got != want {
		t.Errorf("%d keys, want %d", got, want)
	}

	// The same through export and import.
	c := embeddedNode(t, "c")
	c.load(a.cli("export").ok(t).stdout)
	sameExports(t, "default", []*node{a, c})
}

func TestLargeValuesArrive(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	for _, size := range []int{255 << 10, 256 << 10, 1 << 20, 16 << 20} {
		value := make([]byte, size)
		_, _ = rand.Read(value)
		key := fmt.Sprint("large/", size)
		a.cliIn(bytes.NewReader(value), "put", key, "-").ok(t)
		b.put("meanwhile", fmt.Sprint(size))
		took := await(t, soon, "verify says equal", func() error { return equal(t, []*node{a, b}) })
		t.Logf("%d bytes equal after %.2f s", size, took.Seconds())
		b.want(key, string(value))
	}
	late := connectedNode(t, "late", a.url)
	converged(t, soon, a, late)
	b.want("meanwhile", fmt.Sprint(16<<20))
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func TestBadInputChangesNothing(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.put("stays", "as it is")
	converged(t, soon, a, b)
	before := a.bucket()
	names := func() (all []string) {
		for _, s := range a.status().Buckets {
			all = append(all, s.Name)
		}
		return all
	}
	buckets := names()

	for _, tc := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		words []string
	}{
		{"empty key", "", []string{"put", "", "x"}, exitUsage, []string{"key", "empty"}},
		{"empty key to get", "", []string{"get", ""}, exitUsage, []string{"key", "empty"}},
		{"empty key to del", "", []string{"del", ""}, exitUsage, []string{"key", "empty"}},
		{"long key", "", []string{"put", strings.Repeat("k", 4097), "x"}, exitFailed, []string{"key", "4096"}},
		{"large value", strings.Repeat("v", 16<<20+1), []string{"put", "k", "-"}, exitFailed, []string{"value", "16777216"}},
		{"bad bucket", "", []string{"put", "k", "v", "-b", "no.dots", "--create"}, exitUsage, []string{"bucket", "no.dots"}},
		{"empty bucket", "", []string{"put", "k", "v", "-b", "", "--create"}, exitUsage, []string{"bucket"}},
		{"long bucket", "", []string{"put", "k", "v", "-b", strings.Repeat("b", 65), "--create"}, exitUsage, []string{"bucket"}},
		{"bucket with a wildcard", "", []string{"put", "k", "v", "-b", "*", "--create"}, exitUsage, []string{"bucket"}},
		{"reserved bucket reply", "", []string{"put", "k", "v", "-b", "reply", "--create"}, exitUsage, []string{"reply", "reserved"}},
		{"reserved bucket apireply", "", []string{"put", "k", "v", "-b", "apireply", "--create"}, exitUsage, []string{"apireply", "reserved"}},
		{"reserved bucket _mine", "", []string{"put", "k", "v", "-b", "_mine", "--create"}, exitUsage, []string{"_mine", "reserved"}},
		{"unknown bucket", "", []string{"put", "k", "v", "-b", "nobody-has-it"}, exitFailed, []string{"nobody-has-it", "--create"}},
		{"bad base64", "", []string{"put", "--key-b64", "%%%", "v"}, exitUsage, []string{"base64"}},
		{"bad line", "{\"key\":\"fine\",\"value\":\"x\"}\n{\"key\":", []string{"import", "-"}, exitFailed, []string{"line 2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.cliIn(strings.NewReader(tc.stdin), tc.args...).refused(t, tc.code, tc.words...)
		})
	}
	if got := names(); fmt.Sprint(got) != fmt.Sprint(buckets) {
		t.Errorf("buckets %v, before %v", got, buckets)
	}
	a.cli("del", "fine") // what came before a bad line may be there
	a.want("stays", "as it is")
	if after := a.bucket(); after.Keys != before.Keys || after.Hash != before.Hash {
		t.Errorf("changed: %+v, before %+v", after, before)
	}
	converged(t, soon, a, b)
}

func TestSkipBadGoesOn(t *testing.T) {
	a := embeddedNode(t, "a")
	lines := "{\"key\":\"one\",\"value\":\"1\"}\nnot json\n{\"key\":\"\",\"value\":\"2\"}\n{\"key\":\"three\",\"value\":\"3\"}\n"
	r := a.cliIn(strings.NewReader(lines), "import", "-", "--skip-bad")
	for _, word := range []string{"line 2", "line 3"} {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("%q wanted: %v", word, r)
		}
	}
	noTrace(t, r.stderr)
	a.want("one", "1")
	a.want("three", "3")
}

func TestBadNodeNamesAreRefused(t *testing.T) {
	for _, name := range []string{"any", "live", "clock", "sync", "api", "event", "a.b", "a b", "*", strings.Repeat("n", 65)} {
		dir := t.TempDir()
		r := replicator(t, "serve", "--node", name, "--data", dir, "--listen", freeAddress(t))
		r.refused(t, exitUsage, "node")
	}
}
