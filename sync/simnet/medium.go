package simnet

import (
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"

	"replicator/store"
)

// A medium is what a node's store lies on. It survives what the node does not.
type medium interface {
	// open makes ready what the last stop or crash has left.
	open() store.KV
	// crash ends all use as a power cut does, and reports how many commits there
	// were that no sync had covered, and how many of them are lost.
	crash(rnd *rand.Rand) (unsynced, lost int)
	// image copies what is synced.
	image() medium
	// end frees what the medium holds.
	end()
}

// memory is a map that loses any number of the commits after the last sync.
type memory struct{ m *store.Map }

func (d memory) open() store.KV {
	d.m.Reopen()
	return d.m
}

func (d memory) crash(rnd *rand.Rand) (unsynced, lost int) {
	unsynced = d.m.UnsyncedCommits()
	keep := 0
	if unsynced > 0 {
		keep = rnd.IntN(unsynced + 1)
	}
	d.m.Crash(keep)
	return unsynced, unsynced - keep
}

func (d memory) image() medium {
	c := d.m.Clone()
	c.Crash(0)
	return memory{c}
}

func (d memory) end() {}

// files is the real Pebble on files in memory, of which a crash takes all that
// was not synced, or nothing.
type files struct {
	fs *vfs.MemFS
	kv store.KV
}

func newFiles() *files { return &files{fs: vfs.NewCrashableMem()} }

func (d *files) open() store.KV {
	kv, err := store.OpenPebble("db", store.PebbleOptions{
		FS: d.fs, CacheBytes: 1 << 20, MemTableBytes: 64 << 10, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(fmt.Sprintf("simnet: open pebble: %v", err))
	}
	d.kv = kv
	return kv
}

// crash does not know how many commits Pebble has taken and not synced.
func (d *files) crash(rnd *rand.Rand) (unsynced, lost int) {
	left := d.left(100 * rnd.IntN(2))
	d.end()
	d.fs = left
	return 0, 0
}

func (d *files) image() medium { return &files{fs: d.left(0)} }

// left is what a power cut now would leave. The number of files is up to
// Pebble's own goroutines, so their chances are not drawn from the world's.
func (d *files) left(percent int) *vfs.MemFS {
	return d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 1))})
}

func (d *files) end() {
	if d.kv != nil {
		_ = d.kv.Close() // of what is dead already
		d.kv = nil
	}
}
