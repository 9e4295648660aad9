package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Foreign is the Pebble directory of another program, open for reading.
// Nothing in it is changed: not a file is made, written to or taken away.
type Foreign struct {
	dir  string
	db   *pebble.DB
	lock io.Closer
}

// A ForeignRow is a key and its value, valid until the next one is asked for.
type ForeignRow struct{ Key, Value []byte }

// A ForeignError reports a directory that OpenForeign does not read, and why.
type ForeignError struct {
	Dir    string
	Reason string
	Cause  error // nil if the reason says it all
}

func (e *ForeignError) Error() string {
	text := "store: " + e.Dir + " " + e.Reason
	if e.Cause != nil {
		// Pebble hangs notes for its own developers on an error, after a semicolon.
		cause, _, _ := strings.Cut(e.Cause.Error(), "; <")
		text += " (" + cause + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *ForeignError) Unwrap() error { return e.Cause }

// OpenForeign opens the Pebble directory of another program. While it is open, no
// other process can open it. It must not be open in this process: the lock of that
// would be lost. A directory that another process has open is a *LockedError, one
// that is not read, a store of this program among them, a *ForeignError.
func OpenForeign(dir string) (*Foreign, error) {
	desc, err := peekForeign(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockForeign(dir)
	if err != nil {
		if _, ok := errors.AsType[*LockedError](err); ok && readHolder(dir, vfs.Default) != "" {
			return nil, ownStore(dir)
		}
		return nil, err
	}
	f := &Foreign{dir: dir, lock: lock}
	if err := f.open(desc); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// peekForeign tells what there is without opening it.
func peekForeign(dir string) (*pebble.DBDesc, error) {
	info, err := vfs.Default.Stat(dir)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, &ForeignError{Dir: dir, Reason: "is a file: want the directory of a Pebble"}
	}
	desc, err := pebble.Peek(dir, vfs.Default)
	switch {
	case err != nil:
		return nil, formatError(dir, err)
	case desc.Exists && desc.FormatMajorVersion != pebble.FormatDefault:
		return desc, nil
	}
	if _, err := vfs.Default.Stat(vfs.Default.PathJoin(dir, "CURRENT")); err == nil {
		return nil, &ForeignError{Dir: dir, Reason: "is of LevelDB, RocksDB or a Pebble older than is read here; " + raiseFormat}
	}
	return nil, &ForeignError{Dir: dir, Reason: "is no Pebble directory"}
}

var raiseFormat = fmt.Sprintf("a Pebble is read from format %d on: open a copy with Pebble v1 and RatchetFormatMajorVersion", int(pebble.FormatMinSupported))

// formatError says what is wrong with the format of a directory.
func formatError(dir string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "unknown format major version"):
		return &ForeignError{Dir: dir, Reason: fmt.Sprintf("is of a newer Pebble: the newest format read here is %d", int(pebble.FormatNewest)), Cause: err}
	case strings.Contains(text, "no longer supported"):
		return &ForeignError{Dir: dir, Reason: "is of an older Pebble; " + raiseFormat, Cause: err}
	}
	return unreadForeign(dir, err)
}

func unreadForeign(dir string, err error) error {
	return &ForeignError{Dir: dir, Reason: "cannot be read", Cause: err}
}

func ownStore(dir string) error {
	return &ForeignError{Dir: dir, Reason: "is a store of replicator itself: its node is started with serve --data " + dir}
}

func (f *Foreign) open(desc *pebble.DBDesc) (err error) {
	if err := checkForeignOptions(f.dir, desc.OptionsFilename); err != nil {
		return err
	}
	defer f.rescue(&err)
	f.db, err = pebble.Open(f.dir, &pebble.Options{
		FS:       readOnlyFS{vfs.Default},
		ReadOnly: true,
		Logger:   &pebbleLogger{failure: newFailure(slog.New(slog.DiscardHandler), nil)},
	})
	if err != nil {
		return unreadForeign(f.dir, err)
	}
	_, own, err := f.get(keyFormat)
	switch {
	case err != nil:
		return errors.Join(unreadForeign(f.dir, err), f.db.Close())
	case own:
		return errors.Join(ownStore(f.dir), f.db.Close())
	}
	return nil
}

func (f *Foreign) get(key []byte) ([]byte, bool, error) {
	v, closer, err := f.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return bytes.Clone(v), true, closer.Close()
}

// rescue turns a panic of Pebble, as damaged files may raise, into an error.
func (f *Foreign) rescue(err *error) {
	if p := recover(); p != nil {
		*err = unreadForeign(f.dir, fmt.Errorf("pebble: %v", p))
	}
}

// checkForeignOptions refuses what another order of keys, another way of merging or
// a log elsewhere would make of the data. Where no options are kept, Pebble itself
// looks at the order.
func checkForeignOptions(dir, file string) error {
	if file == "" {
		return nil
	}
	text, err := readForeignFile(file)
	if err != nil {
		return unreadForeign(dir, err)
	}
	kept := foreignOptions(text)
	comparer, merger := pebble.DefaultComparer.Name, pebble.DefaultMerger.Name
	switch {
	case kept["comparer"] != "" && kept["comparer"] != comparer:
		return &ForeignError{Dir: dir, Reason: fmt.Sprintf("has its keys in the order of comparer %q: only %q is read", kept["comparer"], comparer)}
	case kept["merger"] != "" && kept["merger"] != merger && kept["merger"] != "nullptr":
		return &ForeignError{Dir: dir, Reason: fmt.Sprintf("has its values merged by %q: only %q is read", kept["merger"], merger)}
	case kept["wal_dir"] != "":
		return &ForeignError{Dir: dir, Reason: fmt.Sprintf("has its newest writes in another folder, %q: have its program open it once more without a WALDir", kept["wal_dir"])}
	}
	return nil
}

func readForeignFile(name string) (string, error) {
	f, err := vfs.Default.Open(name)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(text), errors.Join(err, f.Close())
}

// foreignOptions are the lines of the section Options of a file of them.
func foreignOptions(text string) map[string]string {
	kept, section := map[string]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		if name, value, ok := strings.Cut(line, "="); ok && section == "[Options]" {
			kept[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return kept
}

// Rows yields the keys that begin with prefix, in the order of their bytes, with
// their values as their program would read them now. An error ends it.
func (f *Foreign) Rows(prefix []byte) iter.Seq2[ForeignRow, error] {
	return func(yield func(ForeignRow, error) bool) {
		it, err := f.iter(prefix, pebble.IterKeyTypePointsOnly)
		if err != nil {
			yield(ForeignRow{}, err)
			return
		}
		defer func() { _ = it.Close() }() // what it has to say was said
		for ok := it.First(); ok; ok = it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				yield(ForeignRow{}, unreadForeign(f.dir, err))
				return
			}
			if !yield(ForeignRow{Key: it.Key(), Value: value}, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(ForeignRow{}, unreadForeign(f.dir, err))
		}
	}
}

// HasRangeKeys reports whether Pebble's range keys are set among the keys that begin
// with prefix. Rows yields none of them.
func (f *Foreign) HasRangeKeys(prefix []byte) (bool, error) {
	it, err := f.iter(prefix, pebble.IterKeyTypeRangesOnly)
	if err != nil {
		return false, err
	}
	some := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return false, unreadForeign(f.dir, err)
	}
	return some, nil
}

func (f *Foreign) iter(prefix []byte, types pebble.IterKeyType) (*pebble.Iterator, error) {
	o := &pebble.IterOptions{UpperBound: after(prefix), KeyTypes: types}
	if len(prefix) > 0 { // Pebble's own checks cannot seek to an empty key
		o.LowerBound = bytes.Clone(prefix)
	}
	it, err := f.db.NewIter(o)
	if err != nil {
		return nil, unreadForeign(f.dir, err)
	}
	return it, nil
}

// Close lets other processes open the directory again.
func (f *Foreign) Close() error { return errors.Join(f.db.Close(), f.lock.Close()) }
