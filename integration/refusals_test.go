package integration_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSecondProcessOnDataIsRefused(t *testing.T) {
	a := embeddedNode(t, "a")
	a.put("k", "v")
	r := replicator(t, "serve", "--node", "a", "--data", a.dir, "--listen", freeAddress(t))
	r.refused(t, exitFailed, a.dir, strconv.Itoa(a.proc.pid()))
	r = replicator(t, "rename", "other", "--data", a.dir)
	r.refused(t, exitFailed, a.dir, strconv.Itoa(a.proc.pid()))
	a.want("k", "v")
	a.restart()
	a.want("k", "v")
	converged(t, soon, a)
}

func TestAnotherNameOnStoreIsRefused(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	b.put("k", "v")
	b.stop()
	r := replicator(t, "serve", "--node", "c", "--data", b.dir, "--server", a.url)
	r.refused(t, exitFailed, `b`, "rename")
	b.start()
	converged(t, soon, a, b)
}

func TestBusyPortNamesTheRemedy(t *testing.T) {
	a := embeddedNode(t, "a")
	listen := strings.TrimPrefix(a.url, "nats://")
	r := replicator(t, "serve", "--node", "b", "--data", t.TempDir(), "--listen", listen)
	r.refused(t, exitFailed, listen, "replicator serve", "--data")
	converged(t, soon, a)
}

// Whoever mistypes the folder gets a node that nobody knows, and is told.
func TestNewStoreIsTold(t *testing.T) {
	a := embeddedNode(t, "a")
	a.restart()
	if n := strings.Count(a.log.String(), "this is a new node"); n != 1 {
		t.Errorf("told %d times in two lives", n)
	}
}

// A configuration with users has one for the node, too, or it could never speak.
func TestEmbeddedServerWithUsersNamesTheRemedy(t *testing.T) {
	config := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\nauthorization { users = [{user: n, password: pw}] }\n", freeAddress(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--user", "n", "--password", "other"}} {
		args = append([]string{"serve", "--node", "a", "--data", t.TempDir(), "--nats-config", config}, args...)
		replicator(t, args...).refused(t, exitFailed, "users", "--user")
	}
}

// A node on a server that is not there works on alone, and says so once; a
// client has nobody to speak to.
func TestUnreachableServer(t *testing.T) {
	nobody := "nats://" + freeAddress(t)
	for _, args := range [][]string{
		{"get", "k"},
		{"put", "k", "v"},
		{"del", "k"},
		{"ls"},
		{"status"},
		{"verify"},
		{"export"},
		{"sync", "--once"},
		{"watch"},
		{"wait", "--in-sync", "--timeout", "5s"},
	} {
		begun := time.Now()
		code := exitFailed
		if args[0] == "wait" {
			code = exitBehind
		}
		replicator(t, append(args, "--server", nobody)...).refused(t, code, nobody)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%v took %v to find that nobody is there", args, took)
		}
	}

	hub := startBroker(t)
	hub.stop()
	n := newNode(t, "early", hub.url(), "--server", hub.url()).launch()
	await(t, patience, "the node says that it is alone", func() error {
		if !n.proc.running() {
			return fmt.Errorf("it ended with code %d", n.proc.code)
		}
		if !strings.Contains(n.log.String(), hub.address()) {
			return fmt.Errorf("log: %s", n.log)
		}
		return nil
	})
	hub.start()
	n.awaitReady()
	n.put("k", "v")
	converged(t, soon, n)
}

func TestWrongCredentials(t *testing.T) {
	hub := startBroker(t)
	hub.stop()
	hub.opts.Username, hub.opts.Password = "fleet", "right"
	hub.start()
	right := []string{"--user", "fleet", "--password", "right"}
	wrong := []string{"--user", "fleet", "--password", "wrong"}

	n := newNode(t, "n", "nats://fleet:right@"+hub.address(), append([]string{"--server", hub.url()}, right...)...).start()
	replicator(t, append([]string{"put", "k", "v", "--server", hub.url()}, wrong...)...).refused(t, exitFailed, "authorization")
	replicator(t, append([]string{"put", "k", "v", "--server", hub.url()}, right...)...).ok(t)
	n.want("k", "v")

	// A node keeps trying, for credentials get renewed; it says what is wrong.
	m := newNode(t, "m", n.url, append([]string{"--server", hub.url()}, wrong...)...).launch()
	await(t, patience, "the node says what is wrong", func() error {
		if !strings.Contains(strings.ToLower(m.log.String()), "authorization") {
			return fmt.Errorf("log: %s", m.log)
		}
		return nil
	})
	if strings.Contains(m.log.String(), "wrong") && strings.Contains(m.log.String(), "password") {
		t.Errorf("the log may tell the password: %s", m.log)
	}
	m.crash()
	converged(t, soon, n)
}

func TestUnreadableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a-file")
	must(t, os.WriteFile(file, []byte("no folder"), 0o600))
	replicator(t, "serve", "--node", "n", "--data", file, "--listen", freeAddress(t)).refused(t, exitFailed, file)

	if os.Getuid() != 0 {
		t.Skip("the rest needs root, to be somebody else")
	}
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o700))
	cmd := exec.Command(program(t), "serve", "--node", "n", "--data", dir, "--listen", freeAddress(t))
	cmd.Dir, cmd.Env = "/", cleanEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	finish(t, cmd).refused(t, exitFailed, dir, "permission denied")
}

func TestCorruptStoreIsRefused(t *testing.T) {
	a := embeddedNode(t, "a")
	b := connectedNode(t, "b", a.url)
	a.load(made("bulk/", 20000, 200))
	converged(t, soon, a, b)
	for _, tc := range []struct {
		kind string
		from float64 // where in the files the damage begins
	}{{"MANIFEST-*", 0.3}, {"*.sst", 0}, {"*.sst", 0.3}, {"marker.*", 0}} {
		t.Run(fmt.Sprint(tc.kind, " from ", tc.from), func(t *testing.T) {
			b.stop()
			kept := b.dir + ".kept"
			must(t, os.CopyFS(kept, os.DirFS(b.dir)))
			if damage(t, b.dir, tc.kind, tc.from) {
				serveOrRead(t, b)
			}
			must(t, os.RemoveAll(b.dir))
			must(t, os.Rename(kept, b.dir))
			b.start()
			converged(t, soon, a, b)
		})
	}
}

// damage overwrites a third of all files of a kind. It reports whether there was
// anything to damage.
func damage(tb testing.TB, dir, kind string, from float64) bool {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, kind))
	must(tb, err)
	hit := false
	for _, name := range files {
		content, err := os.ReadFile(name)
		must(tb, err)
		if len(content) == 0 {
			continue
		}
		copy(content[int(from*float64(len(content))):], bytes.Repeat([]byte{0xa5}, max(len(content)/3, 1)))
		must(tb, os.WriteFile(name, content, 0o600))
		hit = true
	}
	tb.Logf("%d files %s", len(files), kind)
	return hit
}

// serveOrRead starts a node on damaged files. Either it refuses to start, or
// what reads the damage fails; both in one plain line that names the folder and
// says what to do.
func serveOrRead(tb testing.TB, n *node) {
	tb.Helper()
	bad := newNode(tb, n.name, n.url, n.args...)
	bad.dir = n.dir
	bad.launch()
	ready := false
	await(tb, patience, "the damage is found", func() error {
		if !bad.proc.running() {
			return nil
		}
		s, err := bad.tryStatus()
		ready = err == nil && s.Ready
		if !ready {
			return fmt.Errorf("neither ready nor ended: %w", err)
		}
		return nil
	})
	if ready {
		bad.cli("export").refused(tb, exitFailed, "backup")
		bad.crash()
		return
	}
	if bad.proc.code != exitFailed {
		tb.Errorf("exit code %d", bad.proc.code)
	}
	plainLine(tb, unlogged(bad.log.String()), bad.dir, "backup")
}

// unlogged is what a program printed beside its log.
func unlogged(text string) string {
	var rest strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 160)
	a := embeddedNode(t, "a")
	b := newNode(t, "b", a.url, "--server", a.url)
	b.dir = filepath.Join(disk, "b")
	b.start()
	l := newLedger(t)
	w := startWriter(t, b, l, 100)
	awaitAcks(t, w, 100)

	// Somebody else fills the disk.
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	awaitFailures(t, w)
	w.stop()
	b.cli("put", "k", "v").refused(t, exitFailed, "disk")
	if _, err := b.tryStatus(); err != nil {
		t.Errorf("a node on a full disk does not say how it is: %v", err)
	}
	b.cli("export").ok(t)
	a.put("meanwhile", "x")
	second := newNode(t, "c", a.url, "--server", a.url)
	second.dir = filepath.Join(disk, "c")
	second.launch()
	await(t, patience, "a start on a full disk is refused or read-only", func() error {
		if !second.proc.running() {
			return nil
		}
		s, err := second.tryStatus()
		if err == nil && s.Ready {
			err = fmt.Errorf("it takes writes: %+v", s)
		}
		return err
	})
	second.crash()
	noTrace(t, second.log.String())

	must(t, os.Remove(filler))
	b.proc.signal(t, syscall.SIGTERM) // its store failed, so the end may say so
	t.Logf("b stopped with code %d", b.proc.wait(t, stopLimit))
	b.start()
	b.put("space", "is back")
	converged(t, patience, a, b)
	l.check(t, a, b)
}

// smallDisk mounts a file system of so many MiB.
func smallDisk(tb testing.TB, mib int) string {
	tb.Helper()
	dir := tb.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "tmpfs", dir).CombinedOutput()
	if err != nil {
		tb.Skipf("a small disk cannot be mounted here: %v: %s", err, out)
	}
	tb.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			tb.Errorf("umount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

// fill writes until there is no byte left.
func fill(tb testing.TB, path string) {
	tb.Helper()
	file, err := os.Create(path)
	must(tb, err)
	defer file.Close() //nolint:errcheck // it is full
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}

func TestYoungerTwinIsFenced(t *testing.T) {
	t.Parallel()
	hub := startBroker(t)
	older := connectedNode(t, "twin", hub.url())
	other := connectedNode(t, "other", hub.url())
	events := listen(t, hub.url(), "replicator.*.event.>")

	// The younger has a broker of its own, so that it can be spoken to alone.
	cable := startProxy(t, hub.leafAddress())
	younger := embeddedNode(t, "twin", "--join", "nats-leaf://"+cable.address())
	for _, n := range []*node{older, younger} {
		await(t, patience, "the double is reported", func() error {
			if !strings.Contains(n.log.String(), "duplicate") {
				return fmt.Errorf("not in the log at %s", n.url)
			}
			return nil
		})
	}
	await(t, patience, "an event is published", func() error {
		if len(events.on("replicator._fleet.event.duplicate.twin")) == 0 {
			return fmt.Errorf("events heard: %v", events.subjects())
		}
		return nil
	})
	await(t, patience, "the younger is fenced", func() error {
		if !strings.Contains(younger.log.String(), "fenced") {
			return fmt.Errorf("log: %s", younger.log.tail(5))
		}
		return nil
	})
	cable.cut()
	await(t, patience, "the younger refuses writes", func() error {
		r := younger.cli("put", "k", "from the younger")
		if r.code != exitFailed || !strings.Contains(r.stderr, "rename") {
			return fmt.Errorf("%v", r)
		}
		plainLine(t, r.stderr, "twin")
		return nil
	})
	older.put("k", "from the older")

	younger.stop()
	replicator(t, "rename", "renamed", "--data", younger.dir).ok(t)
	younger.name = "renamed"
	cable.heal()
	younger.start()
	younger.put("k2", "from the renamed")
	converged(t, soon, older, other, younger)
	older.want("k2", "from the renamed")
	younger.want("k", "from the older")
}
