package oplog_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"replicator/oplog"
)

var update = flag.Bool("update", false, "write golden files that do not exist; one that was released is never rewritten")

func nonceOf(b byte) (n oplog.Nonce) {
	for i := range n {
		n[i] = b + byte(i)
	}
	return n
}

// goldens returns a message of every kind, with every field set where that is
// allowed. They are on disk in both codecs as version 1 writes them.
func goldens() map[string]oplog.Message {
	paris, rome := oplog.Origin{Node: "paris", Epoch: 0x1122334455667788}, oplog.Origin{Node: "rome-2", Epoch: 1<<64 - 1}
	const hlc oplog.HLC = 1_767_225_600_000 << 16
	session := oplog.Session{ID: 0xfeedface, Puller: nonceOf(0x10), Donor: nonceOf(0xa0)}
	clock := oplog.Clock{paris: 40, rome: 1<<64 - 1, {Node: "oslo", Epoch: 1}: 1}
	digests := []oplog.Digest{
		{Bucket: "default", Clock: 1<<64 - 1, Ahead: 2, Sum: 1 << 63, Epoch: paris.Epoch, Own: 40, Floor: hlc + 3},
		{Bucket: "empty"},
	}
	from := oplog.Instance{
		Node: "paris", Nonce: nonceOf(0x10), Prev: nonceOf(0x20), Started: 1_767_225_600_000, Version: "v1.0.0", MaxPayload: 1 << 20, Starts: 3,
		Replica: true, Finals: 0xfedcba9876543210,
	}
	at := func(o oplog.Origin, n uint64) oplog.Stamp {
		return oplog.Stamp{HLC: hlc + oplog.HLC(n), Origin: o, Seq: n}
	}
	entries := []oplog.Entry{
		{Key: []byte("greeting"), Value: []byte("héllo \"wörld\"\n"), Stamp: at(paris, 35)},
		{Key: []byte("gone"), Tombstone: true, Stamp: at(paris, 36), Prev: at(rome, 7)},
		{Key: []byte{0xff, 0x00, 0x80}, Value: []byte{0xfe, 0xff}, Stamp: at(paris, 37), Prev: at(paris, 36)},
		{Key: []byte("session/1"), Value: []byte("token"), Stamp: at(paris, 38), Expiry: 1_767_229_200_000},
		{Key: []byte("batch/1"), Value: []byte("one"), Stamp: at(paris, 39), BatchAhead: 1},
		{Key: []byte("batch/2"), Stamp: at(paris, 40), BatchBack: 1, Type: `text/plain; charset="utf-8"`},
	}
	hash := oplog.HashClock(clock)
	return map[string]oplog.Message{
		"live":           &oplog.Live{Bucket: "default", Origin: paris, First: 34, Last: 40, Nonce: nonceOf(0x10), Entries: entries},
		"live_announced": &oplog.Live{Bucket: "default", Origin: paris, First: 34, Last: 40, Nonce: nonceOf(0x10), Size: 16 << 20},
		"heartbeat":      &oplog.Heartbeat{From: from, Wall: 1_767_225_660_000, Stopping: true, Digests: digests},
		"hello":          &oplog.Hello{From: from, Session: 77, Formats: []uint64{1, '{'}, MaxBody: oplog.MaxBody, Digests: digests, Unknown: []string{"left"}},
		"hello_reply": &oplog.HelloReply{
			From: from, Session: 77, Formats: []uint64{1, '{'}, MaxBody: oplog.MaxBody, Digests: digests[:1], Unknown: []string{"photos"}, Unsure: []string{"default"},
		},
		"compare":        &oplog.Compare{Session: session, Bucket: "default", Parts: hash.Parts[:]},
		"differ":         &oplog.Differ{Session: session, Parts: []uint64{0, 17, 255}},
		"pull":           &oplog.Pull{Session: session, Bucket: "default", Compared: true, Clock: clock, Resume: true, Cursor: []byte("batch/1"), Finals: 0xfedcba9876543210},
		"pull_reconcile": &oplog.Pull{Session: session, Bucket: "default", Resume: true, Cursor: []byte("batch/1"), Reconcile: true},
		"begin_reconcile": &oplog.Begin{
			Session: session, KeyOrder: true, Clock: clock, Rows: 7, GCV: oplog.Clock{paris: 36}, GCTS: hlc + 36, HLC: hlc + 40, Folded: true,
		},
		"begin":  &oplog.Begin{Session: session, KeyOrder: true, Clock: clock, Rows: 1 << 40, Ahead: oplog.Clock{rome: 9}, Bad: []uint64{3, 1023}},
		"page":   &oplog.Page{Session: session, Number: 3, Entries: append(entries[:3:3], oplog.Entry{Key: []byte("r"), Stamp: at(rome, 7)})},
		"end":    &oplog.End{Session: session, Pages: 3, Entries: 1234, Cut: true, Cursor: []byte{0xff, 'k'}},
		"report": &oplog.Report{From: from, Bucket: "default", Clock: clock, Floor: hlc + 3, Folded: true},
		"parts": &oplog.Parts{
			Session: session, Bucket: "default", Clock: clock, Sums: sums(), Bad: []uint64{0, 17, 1023}, Cursor: []byte{0xff, 'k'},
		},
		"wait":  &oplog.Wait{Session: session},
		"ack":   &oplog.Ack{Session: session, Bucket: "default", Number: 3},
		"busy":  &oplog.Busy{Session: session, RetryAfter: 1500},
		"abort": &oplog.Abort{Session: session, Bucket: "default", Reason: oplog.ReasonGate, Text: "clock is below the gate"},
	}
}

// sums are those of a bucket with two rows.
func sums() []uint64 {
	list := make([]uint64, oplog.HashParts)
	list[17], list[1023] = 1<<64-1, 0x0123456789abcdef
	return list
}

// golden turns a body into the text of a golden file and back.
var golden = map[oplog.Codec]struct {
	text func(body []byte) []byte
	body func(text []byte) ([]byte, error)
}{
	oplog.JSON: {
		text: func(body []byte) []byte { return append(bytes.Clone(body), '\n') },
		body: func(text []byte) ([]byte, error) { return bytes.TrimSuffix(text, []byte{'\n'}), nil },
	},
	oplog.Msgpack: {
		text: func(body []byte) []byte {
			var out []byte
			for len(body) > 0 {
				n := min(32, len(body))
				out, body = append(hex.AppendEncode(out, body[:n]), '\n'), body[n:]
			}
			return out
		},
		body: func(text []byte) ([]byte, error) {
			return hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		},
	},
}

func goldenFile(name string, c oplog.Codec) string {
	return filepath.Join("testdata", name+"_v1."+string(c)+".golden")
}

// TestGoldenFiles holds both directions to what version 1 released. With
// -update it writes files that are missing; to replace one that was never
// released, delete it first.
func TestGoldenFiles(t *testing.T) {
	for name, m := range goldens() {
		for _, c := range codecs {
			t.Run(name+"/"+string(c), func(t *testing.T) {
				file, body := goldenFile(name, c), encode(t, c, m)
				text, err := os.ReadFile(file)
				if os.IsNotExist(err) && *update {
					text, err = golden[c].text(body), os.WriteFile(file, golden[c].text(body), 0o644)
				}
				if err != nil {
					t.Fatalf("%v (run with -update to write it)", err)
				}
				released, err := golden[c].body(text)
				if err != nil {
					t.Fatal(err)
				}
				if d := diff(m, decode(t, released)); d != "" {
					t.Errorf("released body reads otherwise (-want +got):\n%s", d)
				}
				if !bytes.Equal(golden[c].text(body), text) {
					t.Errorf("%s is written otherwise now; it is released and stays:\n%s", file, golden[c].text(body))
				}
			})
		}
	}
}

// Every golden file belongs to a message, so that none is forgotten when names change.
func TestGoldenFilesAreAllRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	kinds := map[oplog.Kind]bool{}
	for name, m := range goldens() {
		kinds[oplog.KindOf(m)] = true
		for _, c := range codecs {
			read[goldenFile(name, c)] = true
		}
	}
	for _, file := range files {
		if !read[file] {
			t.Errorf("%s: no test reads it", file)
		}
	}
	for kind := range genMessages {
		if !kinds[kind] {
			t.Errorf("%s: no golden file", kind)
		}
	}
}
