package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// holderFile says who holds the folder. It is only read when the lock itself
// is taken: whoever meets it without a lock may ignore it.
const holderFile = "LOCKED_BY"

// lockDir takes the folder for this process.
func lockDir(dir string, o PebbleOptions) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		if _, ok := errors.AsType[*fs.PathError](err); ok { // the file itself, not the lock on it
			return nil, fmt.Errorf("store: lock folder: %w", err)
		}
		return nil, &LockedError{Dir: dir, Holder: readHolder(dir, o.FS)}
	}
	if err := writeHolder(dir, o); err != nil {
		return nil, errors.Join(fmt.Errorf("store: lock folder: %w", err), lock.Close())
	}
	return lock, nil
}

func writeHolder(dir string, o PebbleOptions) error {
	f, err := o.FS.Create(o.FS.PathJoin(dir, holderFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("process %d", os.Getpid())
	if o.Holder != "" {
		text += " (" + o.Holder + ")"
	}
	_, err = fmt.Fprintf(f, "%s since %s\n", text, time.Now().UTC().Format(time.RFC3339))
	return errors.Join(err, f.Close())
}

func readHolder(dir string, files vfs.FS) string {
	f, err := files.Open(files.PathJoin(dir, holderFile))
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, 300))
	if errors.Join(err, f.Close()) != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
