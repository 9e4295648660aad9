package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/store"
)

// strange makes the Pebble directory of another program, and closes it.
func strange(tb testing.TB, o *pebble.Options, fill func(db *pebble.DB)) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "db")
	o.Logger = silent{}
	db, err := pebble.Open(dir, o)
	must(tb, err)
	fill(db)
	must(tb, db.Close())
	return dir
}

type silent struct{}

func (silent) Infof(string, ...any)      {}
func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// tree is all that is in a folder, and when it was written.
func tree(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	list, err := os.ReadDir(dir)
	must(tb, err)
	files := map[string]string{}
	for _, entry := range list {
		info, err := entry.Info()
		must(tb, err)
		var text []byte
		if !entry.IsDir() {
			text, err = os.ReadFile(filepath.Join(dir, entry.Name()))
			must(tb, err)
		}
		files[entry.Name()] = fmt.Sprint(info.ModTime().UnixNano(), info.Mode(), string(text))
	}
	return files
}

func openForeign(tb testing.TB, dir string) *store.Foreign {
	tb.Helper()
	f, err := store.OpenForeign(dir)
	must(tb, err)
	tb.Cleanup(func() { must(tb, f.Close()) })
	return f
}

func rowsOf(tb testing.TB, f *store.Foreign, prefix string) map[string]string {
	tb.Helper()
	rows, last := map[string]string{}, []byte(nil)
	for row, err := range f.Rows([]byte(prefix)) {
		must(tb, err)
		if last != nil && bytes.Compare(last, row.Key) >= 0 {
			tb.Fatalf("%q behind %q", row.Key, last)
		}
		last = bytes.Clone(row.Key)
		rows[string(row.Key)] = string(row.Value)
	}
	return rows
}

// TestForeignRowsAreWhatItsProgramReads: random sets, merges, deletes and deletes of
// ranges, in each format that is read, in tables and in the log alone; and not a
// byte of it changes.
func TestForeignRowsAreWhatItsProgramReads(t *testing.T) {
	formats := []pebble.FormatMajorVersion{pebble.FormatMinSupported, pebble.FormatVirtualSSTables, pebble.FormatColumnarBlocks, pebble.FormatNewest}
	eachSeed(t, 8, func(t *testing.T, rnd *rand.Rand) {
		t.Helper()
		want := map[string]string{}
		dir := strange(t, &pebble.Options{FormatMajorVersion: formats[rnd.IntN(len(formats))]}, func(db *pebble.DB) {
			for range 600 {
				scribble(t, rnd, db, want)
			}
		})
		before := tree(t, dir)
		f, err := store.OpenForeign(dir)
		must(t, err)
		if got := rowsOf(t, f, ""); !maps.Equal(got, want) {
			t.Errorf("%d rows, want %d: %q, want %q", len(got), len(want), got, want)
		}
		maps.DeleteFunc(want, func(key, _ string) bool { return !strings.HasPrefix(key, "1") })
		if got := rowsOf(t, f, "1"); !maps.Equal(got, want) {
			t.Errorf("under 1: %q, want %q", got, want)
		}
		must(t, f.Close())
		if !maps.Equal(tree(t, dir), before) {
			t.Errorf("the directory has changed: %v", slices.Sorted(maps.Keys(tree(t, dir))))
		}
		strangerOpens(t, dir)
	})
}

func scribble(tb testing.TB, rnd *rand.Rand, db *pebble.DB, want map[string]string) {
	tb.Helper()
	key, value := fmt.Sprint(rnd.IntN(200)), strings.Repeat("v", rnd.IntN(2000))
	switch n := rnd.IntN(100); {
	case n < 60:
		must(tb, db.Set([]byte(key), []byte(value), pebble.NoSync))
		want[key] = value
	case n < 75:
		must(tb, db.Merge([]byte(key), []byte("+"), pebble.NoSync))
		want[key] += "+"
	case n < 90:
		must(tb, db.Delete([]byte(key), pebble.NoSync))
		delete(want, key)
	case n < 97:
		end := key + "5"
		must(tb, db.DeleteRange([]byte(key), []byte(end), pebble.NoSync))
		maps.DeleteFunc(want, func(k, _ string) bool { return k >= key && k < end })
	default:
		must(tb, db.Flush())
	}
}

// strangerOpens lets the program of a directory go on with it.
func strangerOpens(tb testing.TB, dir string) {
	tb.Helper()
	db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}})
	must(tb, err)
	must(tb, errors.Join(db.Set([]byte("goes"), []byte("on"), pebble.Sync), db.Close()))
}

// TestForeignRangeKeysAreTold: they are no rows, and rows beside them are read.
func TestForeignRangeKeysAreTold(t *testing.T) {
	dir := strange(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest}, func(db *pebble.DB) {
		must(t, db.Set([]byte("a1"), []byte("point"), pebble.Sync))
		must(t, db.RangeKeySet([]byte("b"), []byte("c"), nil, []byte("range"), pebble.Sync))
	})
	f := openForeign(t, dir)
	for prefix, want := range map[string]bool{"": true, "a": false, "b": true} {
		if got, err := f.HasRangeKeys([]byte(prefix)); err != nil || got != want {
			t.Errorf("under %q: %v, %v", prefix, got, err)
		}
	}
	if got := rowsOf(t, f, ""); !maps.Equal(got, map[string]string{"a1": "point"}) {
		t.Errorf("%q", got)
	}
}

// TestOpenForeignRefuses names what is wrong, and touches nothing.
func TestOpenForeignRefuses(t *testing.T) {
	other := *pebble.DefaultComparer
	other.Name = "shop.reversed"
	merger := &pebble.Merger{Name: "shop.sum", Merge: pebble.DefaultMerger.Merge}
	one := func(db *pebble.DB) { must(t, db.Set([]byte("k"), []byte("v"), pebble.Sync)) }
	made := func(o *pebble.Options) string { return strange(t, o, one) }
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	unnamed := made(&pebble.Options{Comparer: &other})
	remove(t, unnamed, "OPTIONS-*")
	level := t.TempDir()
	must(t, os.WriteFile(filepath.Join(level, "CURRENT"), []byte("MANIFEST-000001\n"), 0o600))
	damaged := made(&pebble.Options{})
	for _, name := range remove(t, damaged, "MANIFEST-*") {
		must(t, os.WriteFile(name, []byte("garbage garbage garbage"), 0o600))
	}
	for _, tt := range []struct {
		name, dir string
		words     []string
	}{
		{"an empty folder", t.TempDir(), []string{"is no Pebble directory"}},
		{"a file", file, []string{"is a file"}},
		{"another comparer", made(&pebble.Options{Comparer: &other}), []string{`"shop.reversed"`, "comparer"}},
		{"another comparer, no options kept", unnamed, []string{`"shop.reversed"`, "comparer"}},
		{"another merger", made(&pebble.Options{Merger: merger}), []string{`"shop.sum"`, "merged"}},
		{"a log elsewhere", made(&pebble.Options{WALDir: t.TempDir()}), []string{"newest writes", "WALDir"}},
		{"an older format", markFormat(t, made(&pebble.Options{}), "012"), []string{"older Pebble", "12", "from format 13 on"}},
		{"a newer format", markFormat(t, made(&pebble.Options{}), "999"), []string{"newer Pebble", "999", fmt.Sprint(int(pebble.FormatNewest))}},
		{"LevelDB", level, []string{"LevelDB"}},
		{"damage", damaged, []string{"cannot be read"}},
		{"a store of ours", ourStore(t), []string{"store of replicator", "serve --data"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.dir
			var before map[string]string
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				before = tree(t, dir)
			}
			f, err := store.OpenForeign(dir)
			if _, ok := errors.AsType[*store.ForeignError](err); !ok {
				t.Fatalf("%v, %v", f, err)
			}
			for _, word := range append(tt.words, dir) {
				if !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%q wanted, on one line: %v", word, err)
				}
			}
			if before != nil && !maps.Equal(tree(t, dir), before) {
				t.Error("the directory has changed")
			}
		})
	}
	if _, err := store.OpenForeign(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func remove(tb testing.TB, dir, pattern string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	must(tb, err)
	for _, name := range names {
		must(tb, os.Remove(name))
	}
	if len(names) == 0 {
		tb.Fatalf("no %s in %s", pattern, dir)
	}
	return names
}

// markFormat makes a directory say that it is of another format.
func markFormat(tb testing.TB, dir, version string) string {
	tb.Helper()
	for _, name := range remove(tb, dir, "marker.format-version.*") {
		must(tb, os.WriteFile(strings.TrimSuffix(name, filepath.Ext(name))+"."+version, nil, 0o600))
	}
	return dir
}

func ourStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	kv := openPebble(t, vfs.Default, dir)
	write(t, join(t, open(t, kv, "n1", 1), "b"), noon, put("k", "v"))
	must(t, kv.Close())
	return dir
}

// TestForeignLock: neither opens what the other has open, and the one that met the
// lock says whose it is.
func TestForeignLock(t *testing.T) {
	dir := strange(t, &pebble.Options{}, func(db *pebble.DB) { must(t, db.Set([]byte("k"), []byte("v"), pebble.Sync)) })
	db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}})
	must(t, err)
	child(t, "foreign "+dir)
	must(t, db.Close())

	f := openForeign(t, dir)
	child(t, "pebble "+dir)
	if got := rowsOf(t, f, ""); got["k"] != "v" {
		t.Errorf("%q", got)
	}
}

func child(tb testing.TB, task string) {
	tb.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildMeetsAForeignLock$")
	cmd.Env = append(os.Environ(), "STORE_FOREIGN="+task)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v: %s", task, err, out)
	}
}

func TestChildMeetsAForeignLock(t *testing.T) {
	who, dir, ok := strings.Cut(os.Getenv("STORE_FOREIGN"), " ")
	if !ok {
		t.Skip("run by TestForeignLock")
	}
	if who == "pebble" {
		if db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}}); err == nil {
			t.Fatal("opened what is being read", db.Close())
		}
		return
	}
	_, err := store.OpenForeign(dir)
	locked, ok := errors.AsType[*store.LockedError](err)
	if !ok || locked.Holder != fmt.Sprint("process ", os.Getppid()) {
		t.Fatal(err)
	}
}
