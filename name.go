package replicator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"replicator/bus"
	"replicator/oplog"
	"replicator/store"
)

// NodeName returns the name of the node whose store is in dir. For a folder
// without a store it proposes one, the host's name with five random characters,
// and stores nothing.
func NodeName(dir string) (string, error) {
	if !hasStore(dir) {
		return proposeName(), nil
	}
	kv, err := store.OpenPebble(dir, store.PebbleOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	name, err := nameIn(kv)
	return name, errors.Join(err, kv.Close())
}

func hasStore(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "CURRENT")); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	found, _ := filepath.Glob(filepath.Join(dir, "marker.*"))
	return len(found) > 0
}

// nameIn returns the name kept in a store, or a new one.
func nameIn(kv store.KV) (string, error) {
	name, err := store.NodeName(kv)
	if err != nil || name != "" {
		return name, err
	}
	return proposeName(), nil
}

// Rename gives the node whose store is in dir another name. The node must not
// be running. What it wrote under the old name stays what it is; its next write
// is the first of the new name. Errors: ErrNoStore, and as of Open.
func Rename(dir, name string) error {
	if err := bus.ValidNode(name); err != nil {
		return err
	}
	if !hasStore(dir) {
		return fmt.Errorf("%w: %s", ErrNoStore, dir)
	}
	kv, err := store.OpenPebble(dir, store.PebbleOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return errors.Join(store.Rename(kv, name), kv.Close())
}

func proposeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	host, _, _ = strings.Cut(host, ".")
	clean := strings.Map(func(r rune) rune {
		if r < 128 && oplog.ValidName(string(r)) {
			return r
		}
		return -1
	}, host)
	clean = clean[:min(len(clean), oplog.MaxName-6)]
	if clean == "" {
		clean = "node"
	}
	return clean + "-" + strings.ToLower(rand.Text()[:5])
}
