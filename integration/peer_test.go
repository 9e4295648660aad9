package integration_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go"

	"replicator/api"
	"replicator/oplog"
)

// A stranger is a node that is not ours: integration/peer, which was written
// from docs/protocol.md and imports nothing of this module.
type stranger struct {
	tb   testing.TB
	name string
	nc   *nats.Conn
	log  *logbook
	proc *process
}

var buildPeer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "peer")
	out, err := exec.Command("go", "build", "-o", path, "replicator/integration/peer").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// startStranger starts one on the NATS server at url, with nothing in it.
func startStranger(tb testing.TB, name, url string) *stranger {
	tb.Helper()
	program, err := buildPeer()
	must(tb, err)
	s := &stranger{tb: tb, name: name, nc: dial(tb, url), log: &logbook{}}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("--- log of %s\n%s", name, s.log.tail(60))
		}
		noTrace(tb, s.log.String())
	})
	cmd := exec.Command(program, "-server", url, "-node", name)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	s.proc = spawn(tb, cmd)
	await(tb, patience, name+" answers", func() error {
		_, err := s.tell(nil)
		return err
	})
	return s
}

// A standing is what a stranger says of itself.
type standing struct {
	Rows   map[string][2]uint64 // by key in hex: flags, hash of the value
	Digest struct{ Clock, Ahead, Sum uint64 }
}

// tell has it take a write; nil is only a question.
func (s *stranger) tell(write []byte) (now standing, err error) {
	s.tb.Helper()
	m, err := s.nc.Request("replicator.peer."+s.name, write, time.Second)
	if err == nil {
		err = json.Unmarshal(m.Data, &now)
	}
	return now, err
}

func (s *stranger) write(key, value []byte, flags int) {
	s.tb.Helper()
	write, err := json.Marshal(map[string]any{"key_b64": key, "value_b64": value, "flags": flags})
	must(s.tb, err)
	_, err = s.tell(write)
	must(s.tb, err)
}

func (s *stranger) put(key, value string) { s.tb.Helper(); s.write([]byte(key), []byte(value), 0) }

func (s *stranger) del(key string) { s.tb.Helper(); s.write([]byte(key), nil, 1) }

// agrees waits until n and s say of each other's digest that it is their own,
// then compares row by row.
func (s *stranger) agrees(n *node) {
	s.tb.Helper()
	await(s.tb, patience, s.name+" and "+n.name+" agree", func() error {
		now, err := s.tell(nil)
		if err != nil {
			return err
		}
		b := n.bucket()
		if got := fmt.Sprintf("%016x", now.Digest.Sum); got != b.Hash || now.Digest.Ahead != 0 || !b.Pure {
			return fmt.Errorf("%s has hash %s, extras %x; %s %s, pure: %t", s.name, got, now.Digest.Ahead, n.name, b.Hash, b.Pure)
		}
		for _, p := range b.Peers {
			if p.Node == s.name && p.Live && p.InSync {
				return s.sameRows(n, now)
			}
		}
		return fmt.Errorf("%s is not in sync with %s: %+v", s.name, n.name, b.Peers)
	})
}

func (s *stranger) sameRows(n *node, now standing) error {
	s.tb.Helper()
	records := n.records()
	for key, r := range records {
		want := [2]uint64{0, xxhash.Sum64(r.Value)}
		if got, held := now.Rows[fmt.Sprintf("%x", key)]; !held || got != want {
			return fmt.Errorf("%s: %q is %x, at %s %x", s.name, key, got, n.name, want)
		}
	}
	kept := 0
	for _, row := range now.Rows {
		if row[0] == 0 {
			kept++
		}
	}
	if kept != len(records) {
		return fmt.Errorf("%s has %d rows, %s %d", s.name, kept, n.name, len(records))
	}
	return nil
}

// A stranger pulls from a node, serves it, follows it live, and carries rows
// between nodes that never meet.
func TestStrangerIsNode(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"msgpack", "json"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			strangerIsNode(t, codec)
		})
	}
}

func strangerIsNode(t *testing.T, codec string) {
	t.Helper()
	hub := startBroker(t)
	a := newNode(t, "a", hub.url(), "--server", hub.url(), "--codec", codec).start()
	// As a member that is away, it holds up the collection of what it has not seen.
	p := startStranger(t, "p", hub.url())
	a.put("first", "")
	p.agrees(a)
	p.proc.kill(t)

	large := awkward(t, a)
	p = startStranger(t, "p", hub.url())
	p.agrees(a)

	e := listen(t, hub.url(), "replicator.default.sync.>", "replicator.default.live.>")
	a.put("live/a", "by a")
	a.cli("put", "typed/a", "by a", "--type", "text/plain").ok(t)
	_, err := p.tell([]byte(`{"key":"typed/p","value":"by p","type":"image/png"}`))
	must(t, err)
	p.agrees(a)
	if r := a.records()["typed/p"]; r.Type != "image/png" {
		t.Errorf("what p wrote is of type %q at a", r.Type)
	}
	p.put("live/p", "by p")
	for i := range 10 {
		p.put(fmt.Sprint("live/", i), "by p")
		p.agrees(a)
	}
	a.want("live/p", "by p")
	// One may be under way since they met, or be for a message that came late.
	if pulls := e.on("replicator.default.sync.p.a"); len(pulls) > 2 {
		t.Errorf("a pulled what p published: %d requests, %+v", len(pulls), pulls)
	}

	a.stop()
	alone(p)
	a.start()
	p.agrees(a)
	a.want("k1", "by p")
	a.want("large/p", strings.Repeat("p", 600<<10))
	a.wantNone("k2")
	manyOrigins(t, p, a)
	atA := a.sortedExport("default")
	a.stop()

	b := newNode(t, "b", hub.url(), "--server", hub.url(), "--codec", codec).start()
	p.agrees(b)
	b.want("large", large)
	if diff := firstDifference(atA, b.sortedExport("default")); diff != "" {
		t.Errorf("b, which never met a, differs from it: %s", diff)
	}
	b.put("k3", "by b")
	p.agrees(b)
	atB := b.sortedExport("default")
	b.stop()

	a.start()
	p.agrees(a)
	if diff := firstDifference(atB, a.sortedExport("default")); diff != "" {
		t.Errorf("a, which never met b, differs from it: %s", diff)
	}
}

// awkward gives n some hundreds of records, with keys that are no text, deletes
// and a value that no message can take. It returns the value.
func awkward(tb testing.TB, n *node) string {
	tb.Helper()
	records := numbered(300, "by a, \"\\ \u2028", nil)
	for i := range 100 {
		r := api.Record{Key: []byte{0, byte(i), 0xff}, Value: []byte{0xfe, byte(i)}}
		records = append(r.AppendJSON(records), '\n')
	}
	n.load(records)
	for i := 10; i < 30; i++ {
		n.cli("del", fmt.Sprint("k", i)).ok(tb)
	}
	n.cli("del", "--key-b64", base64.StdEncoding.EncodeToString([]byte{0, 7, 0xff})).ok(tb)
	large := bytes.Repeat(everyByte(), 4096)
	n.cliIn(bytes.NewReader(large), "put", "large", "-").ok(tb)
	return string(large)
}

// alone is what p writes while nobody listens.
func alone(p *stranger) {
	p.tb.Helper()
	p.put("k1", "by p")
	p.put("k1", "by p, at first")
	p.put("k1", "by p")
	p.del("k2")
	p.write([]byte{0xff, 0}, []byte{0}, 0)
	p.put("large/p", strings.Repeat("p", 600<<10))
	for i := range 200 {
		p.put(fmt.Sprint("p/", i), strings.Repeat("p", 2000))
	}
}

// manyOrigins gives both clocks so many rows that they are compared by parts.
func manyOrigins(tb testing.TB, p *stranger, n *node) {
	tb.Helper()
	for i := range uint64(140) {
		o := oplog.Origin{Node: "z", Epoch: 1 << 60 / (i + 1)}
		m := &oplog.Live{Bucket: "default", Origin: o, First: 1, Last: 1, Nonce: oplog.Nonce{1}, Entries: []oplog.Entry{{
			Key: fmt.Append(nil, "z/", i), Stamp: oplog.Stamp{HLC: oplog.HLC(i + 1), Origin: o, Seq: 1},
		}}}
		body, err := oplog.Encode(oplog.Msgpack, m)
		must(tb, err)
		must(tb, p.nc.Publish("replicator.default.live.z", body))
	}
	p.agrees(n)
	n.stop()
	p.put("parts", "are compared")
	e := listen(tb, n.url, "replicator.default.sync.>")
	n.start()
	p.agrees(n)
	n.want("parts", "are compared")
	for _, h := range e.on("replicator.default.sync." + p.name) {
		if m, err := oplog.Decode(h.body); err == nil {
			if _, compared := m.(*oplog.Compare); compared {
				return
			}
		}
	}
	tb.Errorf("%s compared no parts", n.name)
}

// The peer is worth something as long as it is small and foreign.
func TestStrangerIsSmallAndForeign(t *testing.T) {
	files, err := filepath.Glob("peer/*.go")
	must(t, err)
	lines := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	if lines == 0 || lines > 500 {
		t.Errorf("it has %d lines of code", lines)
	}
	for _, p := range listPackages(t) {
		for _, imported := range p.Imports {
			if p.ImportPath == "replicator/integration/peer" && within(imported, "replicator") {
				t.Errorf("it imports %s", imported)
			}
		}
	}
}
