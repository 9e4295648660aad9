package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
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
	if held(err) {
		return nil, &LockedError{Dir: dir, Holder: readHolder(dir, o.FS)}
	}
	if err != nil {
		return nil, fmt.Errorf("store: lock folder: %w", err)
	}
	if err := writeHolder(dir, o); err != nil {
		return nil, errors.Join(fmt.Errorf("store: lock folder: %w", err), lock.Close())
	}
	return lock, nil
}

// held tells a lock that somebody has from one that could not be tried. What
// the process itself holds comes as an error without a number.
func held(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok { // the file itself, not the lock on it
		return false
	}
	switch errno, ok := errors.AsType[syscall.Errno](err); {
	case !ok:
		return true
	case runtime.GOOS == "windows":
		return errno == sharingViolation
	default:
		return errno == syscall.EAGAIN || errno == syscall.EACCES
	}
}

const sharingViolation syscall.Errno = 32 // of Windows

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
