package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"replicator/oplog"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func messages() map[string]oplog.Message {
	a := oplog.Origin{Node: "a", Epoch: 0x1234}
	stamp := func(seq oplog.Seq) oplog.Stamp {
		return oplog.Stamp{HLC: oplog.HLC(1767225600000<<16) + oplog.HLC(seq), Origin: a, Seq: seq}
	}
	entries := []oplog.Entry{
		{Key: []byte("greeting"), Value: []byte("hello, привет"), Stamp: stamp(1)},
		{Key: []byte("\x00\xff"), Value: []byte("two\nlines"), Stamp: stamp(2)},
		{Key: []byte("gone"), Stamp: stamp(3), Tombstone: true},
		{Key: []byte("large"), Value: []byte(strings.Repeat("я", 200)), Stamp: stamp(4)},
	}
	from := oplog.Instance{Node: "a", Nonce: oplog.Nonce{1, 2}, Started: 1, Version: "1.0.0"}
	return map[string]oplog.Message{
		"live":      &oplog.Live{Bucket: "default", Origin: a, First: 1, Last: 4, Nonce: oplog.Nonce{1}, Entries: entries},
		"announced": &oplog.Live{Bucket: "default", Origin: a, First: 5, Last: 5, Nonce: oplog.Nonce{1}, Size: 16 << 20},
		"heartbeat": &oplog.Heartbeat{From: from, Wall: 1, Stopping: true, Digests: []oplog.Digest{{Bucket: "default", Clock: 1, Ahead: 2, Sum: 3, Own: 4}}},
		"page":      &oplog.Page{Session: oplog.Session{ID: 7, Puller: oplog.Nonce{1}, Donor: oplog.Nonce{2}}, Number: 3, Entries: entries[:1]},
		"busy":      &oplog.Busy{Session: oplog.Session{ID: 7, Puller: oplog.Nonce{1}, Donor: oplog.Nonce{2}}, RetryAfter: 50},
	}
}

func TestDecodeGolden(t *testing.T) {
	var got strings.Builder
	for _, name := range []string{"live", "announced", "heartbeat", "page", "busy"} {
		m := messages()[name]
		last := ""
		for _, codec := range []oplog.Codec{oplog.Msgpack, oplog.JSON} {
			body, err := oplog.Encode(codec, m)
			if err != nil {
				t.Fatal(err)
			}
			out := replicatorIn(t, string(body), "decode")
			if out.code != exitDone || last != "" && out.out != last {
				t.Errorf("%s in %s: %+v", name, codec, out)
			}
			last = out.out
		}
		fmt.Fprintf(&got, "# %s\n%s", name, last)
	}
	for _, body := range []string{
		"", "hello", "\x01", "{", `{"v":9,"type":"live"}`, `{"v":1,"type":"news"}`, "\x07future",
		"\x02" + strings.Repeat("\x00", 7) + "\x09" + "\x00\x00\x00\x01" + "\x00\x00\x00\x05" + "\x00\x00\x00\x00\x00\x10\x00\x00" + "\x00\x00\x00\x00" + "piece",
	} {
		out := replicatorIn(t, body, "decode", "some.subject")
		if out.code != exitDone || strings.Count(out.out, "\n") != 1 {
			t.Errorf("%q: %+v", body, out)
		}
		fmt.Fprintf(&got, "# %q\n%s", body, out.out)
	}
	body, err := oplog.Encode(oplog.Msgpack, messages()["live"])
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&got, "# --json\n%s", replicatorIn(t, string(body), "decode", "--json").out)
	golden(t, "decode.golden", got.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs, -rewrite takes it:\n%s", file, got)
	}
}
