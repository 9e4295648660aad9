//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// lockForeign opens the lock file. On Windows Pebble opens it so that nobody else
// can, and cannot while it is open here.
func lockForeign(dir string) (io.Closer, error) {
	f, err := os.Open(filepath.Join(dir, "LOCK"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return io.NopCloser(nil), nil
	case errors.Is(err, sharingViolation):
		return nil, &LockedError{Dir: dir}
	case err != nil:
		return nil, fmt.Errorf("store: lock folder: %w", err)
	}
	return f, nil
}
