//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lockForeign takes a lock for reading on the lock file, which Pebble's is for
// writing: they shut each other out, and the file stays as it is. Without the file
// nobody has the directory open.
func lockForeign(dir string) (io.Closer, error) {
	f, err := os.Open(filepath.Join(dir, "LOCK"))
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: lock folder: %w", err)
	}
	whole := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &whole)
	if err == nil {
		return f, nil
	}
	if held(err) {
		err = &LockedError{Dir: dir, Holder: lockHolder(f)}
	} else {
		err = fmt.Errorf("store: lock folder: %w", err)
	}
	return nil, errors.Join(err, f.Close())
}

// lockHolder names the process that holds the lock, as far as the system tells.
func lockHolder(f *os.File) string {
	who := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &who); err != nil || who.Type == syscall.F_UNLCK || who.Pid <= 0 {
		return ""
	}
	return fmt.Sprintf("process %d", who.Pid)
}
