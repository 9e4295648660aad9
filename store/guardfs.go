package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guardFS keeps file errors away from the parts of Pebble that cannot take
// them. An error of the WAL makes Pebble exit, or panic in a state from which
// nobody recovers (it unlocks a mutex it no longer holds). So a WAL operation
// that fails sets the failure and never returns: callers above have stopped
// waiting by then, and what is on the disk is what a crash would leave.
//
// Other failing operations are returned, but slowly, because Pebble tries a
// failed flush again at once, for ever.
type guardFS struct {
	vfs.FS
	failure *failure
}

const retryPause = 100 * time.Millisecond

func isWAL(name string) bool { return strings.HasSuffix(name, ".log") }

// check handles the outcome of an operation.
func (fs *guardFS) check(wal bool, op, name string, err error) error {
	if err == nil || !fs.failure.armed.Load() {
		return err
	}
	if wal {
		fs.failure.set(fmt.Errorf("%s %s: %w", op, name, err))
		select {}
	}
	select {
	case <-time.After(retryPause):
	case <-fs.failure.done:
	}
	return err
}

func (fs *guardFS) wrap(op, name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, fs.check(isWAL(name), op, name, err)
	}
	return &guardFile{File: f, fs: fs, name: name, wal: isWAL(name)}, nil
}

// Create implements vfs.FS.
func (fs *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.wrap("create", name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (fs *guardFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.wrap("reuse", newname, f, err)
}

// OpenDir implements vfs.FS. Creating a WAL file ends with a sync of its
// folder, so the folder counts as part of the WAL.
func (fs *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, fs: fs, name: name, wal: true}, nil
}

// Unwrap implements vfs.FS.
func (fs *guardFS) Unwrap() vfs.FS { return fs.FS }

type guardFile struct {
	vfs.File
	fs   *guardFS
	name string
	wal  bool
}

// Write implements vfs.File.
func (f *guardFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.check(f.wal, "write", f.name, err)
}

// WriteAt implements vfs.File.
func (f *guardFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.fs.check(f.wal, "write", f.name, err)
}

// Sync implements vfs.File.
func (f *guardFile) Sync() error {
	return f.fs.check(f.wal, "sync", f.name, f.File.Sync())
}

// SyncData implements vfs.File.
func (f *guardFile) SyncData() error {
	return f.fs.check(f.wal, "sync", f.name, f.File.SyncData())
}

// SyncTo implements vfs.File.
func (f *guardFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.check(f.wal, "sync", f.name, err)
}

// Close implements vfs.File.
func (f *guardFile) Close() error {
	return f.fs.check(f.wal, "close", f.name, f.File.Close())
}
