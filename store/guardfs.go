package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A guardFS keeps file errors away from the parts of Pebble that cannot take
// them. An error of the WAL makes Pebble exit, or panic in a state from which
// nobody recovers (it unlocks a mutex it no longer holds); one of a folder's
// sync makes a flush panic. So such an operation sets the failure and never
// returns: callers above have stopped waiting by then, and what is on the disk
// is what a crash would leave.
//
// Other failing operations, reads too, are returned, but slowly: Pebble tries a
// flush or a compaction that failed again at once, for ever, also after the
// failure is set.
type guardFS struct {
	vfs.FS
	failure *failure
}

const retryPause = 100 * time.Millisecond

type fileKind int

const (
	plainFile fileKind = iota
	walFile
	folder // of which the WAL's and the manifest's syncs are part
)

func kindOf(name string) fileKind {
	if strings.HasSuffix(name, ".log") {
		return walFile
	}
	return plainFile
}

// check handles the outcome of an operation.
func (fs *guardFS) check(kind fileKind, op, name string, err error) error {
	if err == nil || errors.Is(err, os.ErrNotExist) { // the latter is an answer
		return err
	}
	if fs.fatal(kind) {
		fs.failure.set(fmt.Errorf("%s %s: %w", op, name, err))
		select {}
	}
	time.Sleep(retryPause)
	return err
}

// fatal reports whether an error must not get back. While Pebble is opened or
// closed, what is done on the caller's goroutine is mostly given to the caller.
func (fs *guardFS) fatal(kind fileKind) bool {
	switch {
	case fs.failure.at(recovering):
		return true
	case kind == walFile:
		return fs.failure.at(running)
	case kind == folder:
		return fs.failure.at(running) || !calledFromHere()
	default:
		return false
	}
}

func (fs *guardFS) wrap(op, name string, f vfs.File, err error) (vfs.File, error) {
	kind := kindOf(name)
	if err != nil {
		return nil, fs.check(kind, op, name, err)
	}
	return &guardFile{File: f, fs: fs, name: name, kind: kind}, nil
}

// settle syncs the folder before a marker in it comes or goes. Pebble syncs it
// only afterwards: on a file system that keeps no order, a power cut could leave
// the marker of a manifest that is not there, or none.
func (fs *guardFS) settle(name string) error {
	if !strings.HasPrefix(fs.PathBase(name), "marker.") {
		return nil
	}
	dir, err := fs.OpenDir(fs.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Remove implements vfs.FS.
func (fs *guardFS) Remove(name string) error {
	if err := fs.settle(name); err != nil {
		return err
	}
	return fs.check(plainFile, "remove", name, fs.FS.Remove(name))
}

// Rename implements vfs.FS.
func (fs *guardFS) Rename(oldname, newname string) error {
	return fs.check(plainFile, "rename", oldname, fs.FS.Rename(oldname, newname))
}

// List implements vfs.FS.
func (fs *guardFS) List(name string) ([]string, error) {
	list, err := fs.FS.List(name)
	return list, fs.check(plainFile, "list", name, err)
}

// Stat implements vfs.FS.
func (fs *guardFS) Stat(name string) (vfs.FileInfo, error) {
	info, err := fs.FS.Stat(name)
	return info, fs.check(plainFile, "stat", name, err)
}

// Create implements vfs.FS.
func (fs *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.settle(name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, category)
	return fs.wrap("create", name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (fs *guardFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.wrap("reuse", newname, f, err)
}

// Open implements vfs.FS.
func (fs *guardFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil {
		return nil, fs.check(plainFile, "open", name, err)
	}
	return &guardFile{File: f, fs: fs, name: name}, nil
}

// OpenDir implements vfs.FS.
func (fs *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, fs.check(plainFile, "open", name, err)
	}
	return &guardFile{File: f, fs: fs, name: name, kind: folder}, nil
}

// Unwrap implements vfs.FS.
func (fs *guardFS) Unwrap() vfs.FS { return fs.FS }

type guardFile struct {
	vfs.File
	fs   *guardFS
	name string
	kind fileKind
}

// ReadAt implements vfs.File.
func (f *guardFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		return n, err
	}
	return n, f.fs.check(plainFile, "read", f.name, err)
}

// Write implements vfs.File.
func (f *guardFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.check(f.kind, "write", f.name, err)
}

// WriteAt implements vfs.File.
func (f *guardFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.fs.check(f.kind, "write", f.name, err)
}

// Sync implements vfs.File.
func (f *guardFile) Sync() error {
	return f.fs.check(f.kind, "sync", f.name, f.File.Sync())
}

// SyncData implements vfs.File.
func (f *guardFile) SyncData() error {
	return f.fs.check(f.kind, "sync", f.name, f.File.SyncData())
}

// SyncTo implements vfs.File.
func (f *guardFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.check(f.kind, "sync", f.name, err)
}

// Close implements vfs.File.
func (f *guardFile) Close() error {
	return f.fs.check(f.kind, "close", f.name, f.File.Close())
}
