package main

import (
	"errors"
	"iter"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"replicator"
	"replicator/api"
	"replicator/oplog"
)

// pebbleOf is the directory of another program with these keys.
func pebbleOf(t *testing.T, rows map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	db, err := pebble.Open(dir, &pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range rows {
		err = errors.Join(err, db.Set([]byte(key), []byte(value), pebble.NoSync))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// adopted is what a shelf has after the rows of dir were written to it.
func adopted(t *testing.T, dir string, from foreignRecords, skipBad bool) (map[string]string, tally, []string, error) {
	t.Helper()
	f, err := replicator.OpenForeign(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	next, stop := iter.Pull2(f.Rows(from.under))
	defer stop()
	from.pull = next
	s := &shelf{values: map[string]string{}}
	im := newImporter(t.Context(), s, "default", api.LoadOptions{SkipUnchanged: true})
	im.skipBad = skipBad
	var bad []string
	im.bad = func(err error) { bad = append(bad, err.Error()) }
	seen := 0
	got, err := im.read(&from, func(n int) { seen += n })
	if err == nil && seen != got.Written+got.Unchanged+got.Bad {
		t.Errorf("the meter says %d, %+v", seen, got)
	}
	return s.values, got, bad, err
}

func TestAdoptedKeysMove(t *testing.T) {
	dir := pebbleOf(t, map[string]string{"user/a": "1", "user/b": "2", "user/": "0", "shop": "3", "\x00\xff": "\xff"})
	for _, tt := range []struct {
		from foreignRecords
		want map[string]string
	}{
		{foreignRecords{}, map[string]string{"user/a": "1", "user/b": "2", "user/": "0", "shop": "3", "\x00\xff": "\xff"}},
		{foreignRecords{under: []byte("user/")}, map[string]string{"user/a": "1", "user/b": "2", "user/": "0"}},
		{foreignRecords{into: []byte("x/"), under: []byte("s")}, map[string]string{"x/shop": "3"}},
		{foreignRecords{under: []byte("user/"), strip: true, into: []byte("x/")}, map[string]string{"x/a": "1", "x/b": "2", "x/": "0"}},
	} {
		got, _, bad, err := adopted(t, dir, tt.from, false)
		if err != nil || len(bad) > 0 || !maps.Equal(got, tt.want) {
			t.Errorf("%+v: %q, %q, %v", tt.from, got, bad, err)
		}
	}
}

// TestKeysThatDoNotFitAreNamed: by the names they have in the directory, whether they
// are seen here or at the node.
func TestKeysThatDoNotFitAreNamed(t *testing.T) {
	long := strings.Repeat("k", oplog.MaxKey+1)
	dir := pebbleOf(t, map[string]string{
		"": "empty", "a": "1", "a-large": strings.Repeat("v", oplog.MaxValue+1), long: "2",
		strings.Repeat("l", oplog.MaxKey): "3", "refused": "4", "z": strings.Repeat("v", oplog.MaxValue),
	})
	got, done, bad, err := adopted(t, dir, foreignRecords{}, true)
	if err != nil || done.Written != 3 || done.Bad != 4 || len(got) != 3 {
		t.Errorf("%+v, %d keys, %v", done, len(got), err)
	}
	told := strings.Join(bad, "\n")
	for _, want := range []string{
		"the empty key: the key is empty", "key a-large: the value has 16777217 bytes, the limit is 16777216",
		"key " + strings.Repeat("k", 80) + "...: the key has 4097 bytes, the limit is 4096", "key refused: too large",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%q wanted in:\n%s", want, told)
		}
	}
	_, done, _, err = adopted(t, dir, foreignRecords{under: []byte("a")}, false)
	if !isRecordError(err) || done.Written != 1 {
		t.Errorf("not skipped: %+v, %v", done, err)
	}
	_, _, _, err = adopted(t, dir, foreignRecords{under: []byte("l"), into: []byte("x")}, false)
	if err == nil || !strings.Contains(err.Error(), "4097 bytes") {
		t.Errorf("too long with what is put before it: %v", err)
	}
}

func TestAdoptDryRun(t *testing.T) {
	alone(t)
	t.Setenv("NATS_URL", "nats://"+freeAddress(t)) // nobody is there, nor asked
	dir := pebbleOf(t, map[string]string{"user/a": "1", "user/b": "22", strings.Repeat("k", oplog.MaxKey+1): "3"})
	for args, want := range map[string]outcome{
		"--under user/":         {out: "2 keys with 15 bytes to write\n"},
		"--under user/ --strip": {out: "2 keys with 5 bytes to write\n"},
		"--under dXNlci8= --key-b64 --json -b fresh --create": {out: `{"keys":2,"bytes":15,"bad":0}` + "\n"},
		"":           {out: "2 keys with 15 bytes to write\n", code: exitFailed},
		"--skip-bad": {out: "2 keys with 15 bytes to write\n"},
	} {
		got := replicatorIn(t, "", append([]string{"adopt", dir, "--dry-run"}, strings.Fields(args)...)...)
		if got.out != want.out || got.code != want.code {
			t.Errorf("%s: %+v", args, got)
		}
		if named := strings.Contains(got.err, "skipped key kkk"); named != !strings.Contains(args, "--under") {
			t.Errorf("%s: %s", args, got.err)
		}
		if refused := strings.Contains(got.err, "1 key not taken by a node; --skip-bad leaves such keys out"); refused != (args == "") {
			t.Errorf("%s: %s", args, got.err)
		}
	}
}

func TestBrokenOffAdoptSaysHowFarItCame(t *testing.T) {
	var c adoptCmd
	for want, err := range map[string]error{
		"interrupted; 7 keys adopted, adopting again does the rest": c.stopped(tally{Written: 7}, errSignal),
		"interrupted": c.stopped(tally{}, errSignal),
		"key k: bad; 1 key before it adopted, --skip-bad leaves such keys out, --dry-run names them all": c.stopped(tally{Unchanged: 1}, &recordError{"key k", errors.New("bad")}),
	} {
		if err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
