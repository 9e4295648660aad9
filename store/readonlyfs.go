package store

import (
	"fmt"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A readOnlyFS refuses all that changes a file or a folder. Pebble writes nothing to
// what it opens for reading, but for its lock: this is the promise in our own hands.
type readOnlyFS struct{ vfs.FS }

func refuse(op, name string) error {
	return fmt.Errorf("%s %s: it is open for reading: %w", op, name, fs.ErrPermission)
}

// Create implements vfs.FS.
func (readOnlyFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refuse("create", name)
}

// Link implements vfs.FS.
func (readOnlyFS) Link(_, newname string) error { return refuse("link", newname) }

// OpenReadWrite implements vfs.FS.
func (readOnlyFS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, refuse("write", name)
}

// Remove implements vfs.FS.
func (readOnlyFS) Remove(name string) error { return refuse("remove", name) }

// RemoveAll implements vfs.FS.
func (readOnlyFS) RemoveAll(name string) error { return refuse("remove", name) }

// Rename implements vfs.FS.
func (readOnlyFS) Rename(oldname, _ string) error { return refuse("rename", oldname) }

// ReuseForWrite implements vfs.FS.
func (readOnlyFS) ReuseForWrite(oldname, _ string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, refuse("reuse", oldname)
}

// MkdirAll implements vfs.FS.
func (readOnlyFS) MkdirAll(name string, _ fs.FileMode) error { return refuse("create", name) }

// Lock implements vfs.FS. Pebble's own would empty the file, or make it; who opens
// for reading has taken lockForeign's before.
func (readOnlyFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap implements vfs.FS.
func (f readOnlyFS) Unwrap() vfs.FS { return f.FS }
