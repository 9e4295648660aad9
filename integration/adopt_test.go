package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"replicator/api"
)

// adoptKeys are the keys that another program has.
const adoptKeys = 50000

// shopData is the Pebble directory of another program, and its keys as an export
// shows them. It is closed; a part is in tables, the rest in the log alone.
func shopData(t *testing.T) (dir string, export []byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "shop-db")
	db := openShop(t, dir)
	rnd, value := rand.New(rand.NewPCG(3, 4)), make([]byte, 400) //nolint:gosec // no secret
	lines := make([][]byte, 0, adoptKeys)
	for i := range adoptKeys {
		for at := range value {
			value[at] = byte(rnd.Uint32())
		}
		r := api.Record{Key: fmt.Appendf(nil, "item/%06d", i), Value: value[:200+i%200]}
		if i%100 == 0 {
			r.Key = fmt.Appendf(nil, "\xff%d", i)
		}
		must(t, db.Set(r.Key, r.Value, pebble.NoSync))
		lines = append(lines, append(r.AppendJSON(nil), '\n'))
		if i == adoptKeys/2 {
			must(t, db.Flush())
		}
	}
	must(t, db.Set([]byte("gone/1"), []byte("x"), pebble.NoSync))
	must(t, db.DeleteRange([]byte("gone/"), []byte("gone0"), pebble.Sync))
	must(t, db.RangeKeySet([]byte("item/"), []byte("item0"), nil, []byte("x"), pebble.Sync))
	must(t, db.Close())
	return dir, joinSorted(lines)
}

func openShop(t *testing.T, dir string) *pebble.DB {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables, Logger: quietPebble{}})
	must(t, err)
	return db
}

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)      {}
func (quietPebble) Errorf(string, ...any)     {}
func (quietPebble) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// filesIn is all that is in a folder, with the moments it was written.
func filesIn(t *testing.T, dir string) (all []byte) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range list {
		info, err := entry.Info()
		must(t, err)
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		must(t, err)
		all = append(fmt.Appendf(all, "%s %v ", entry.Name(), info.ModTime()), text...)
	}
	return all
}

// adoptedBy fails the test unless the nodes have the keys and no others.
func adoptedBy(t *testing.T, export []byte, nodes ...*node) {
	t.Helper()
	converged(t, patience, nodes...)
	for _, n := range nodes {
		if diff := firstDifference(n.sortedExport("shop"), export); diff != "" {
			t.Errorf("%s has others than were adopted: %s", n.name, diff)
		}
	}
}

func TestAdoptedDirectoryIsOnAllNodes(t *testing.T) {
	t.Parallel()
	dir, export := shopData(t)
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)

	replicator(t, "adopt", dir, "--dry-run").ok(t)
	a.cli("adopt", dir, "-b", "shop").refused(t, exitFailed, "shop", "--create")
	db := openShop(t, dir)
	a.cli("adopt", dir, "-b", "shop", "--create").refused(t, exitFailed, dir, "in use", "process "+strconv.Itoa(os.Getpid()))
	must(t, db.Close())
	before := filesIn(t, dir)

	said := a.cli("adopt", dir, "-b", "shop", "--create").ok(t)
	plainLine(t, said.stderr, "range keys")
	plainLine(t, said.text(), fmt.Sprint(adoptKeys, " keys written, 0 unchanged"))
	adoptedBy(t, export, a, b)
	again := b.cli("adopt", dir, "-b", "shop").ok(t)
	plainLine(t, again.text(), fmt.Sprintf("nothing to write: %d keys unchanged", adoptKeys))
	adoptedBy(t, export, a, b)
	if !bytes.Equal(filesIn(t, dir), before) {
		t.Error("the directory has changed")
	}
	must(t, openShop(t, dir).Close())

	a.cli("adopt", b.dir, "-b", "shop").refused(t, exitFailed, b.dir, "store of replicator", "--data")
	b.stop()
	a.cli("adopt", b.dir, "-b", "shop").refused(t, exitFailed, b.dir, "store of replicator", "--data")
}

func TestKilledAdoptIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir, export := shopData(t)
	hub := startBroker(t)
	a := connectedNode(t, "a", hub.url())
	b := connectedNode(t, "b", hub.url())
	cable := startProxy(t, hub.address())
	adopting := spawn(t, commandOf(t, "adopt", dir, "-b", "shop", "--create", "--node", "a", "--server", "nats://"+cable.address()))
	await(t, patience, "a part is on its way", func() error {
		if !adopting.running() || cable.up.Load() < int64(len(export)/10) {
			return errNotYet
		}
		return nil
	})
	adopting.kill(t)
	converged(t, patience, a, b)
	held := countLines(a.sortedExport("shop"))
	if held == 0 || held >= adoptKeys {
		t.Fatalf("killed with %d of %d keys adopted: nothing is proved", held, adoptKeys)
	}
	t.Logf("killed with %d of %d keys adopted", held, adoptKeys)
	said := a.cli("adopt", dir, "-b", "shop").ok(t)
	plainLine(t, said.text(), fmt.Sprintf("%d keys written, %d unchanged", adoptKeys-held, held))
	adoptedBy(t, export, a, b)
}

// TestAdoptRefusesAReplica: as all writes do.
func TestAdoptRefusesAReplica(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db := openShop(t, dir)
	must(t, errors.Join(db.Set([]byte("k"), []byte("v"), pebble.Sync), db.Close()))
	broker := startBroker(t)
	r := newNode(t, "r", broker.url(), "--server", broker.url(), "--replica").start()
	r.cli("adopt", dir).refused(t, exitFailed, "replica", "--node")
}
