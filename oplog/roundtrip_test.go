package oplog_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"replicator/oplog"
)

func TestMessagesSurviveTheWire(t *testing.T) {
	for kind, gen := range genMessages {
		t.Run(kind.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := gen.Draw(t, "message")
				if oplog.KindOf(m) != kind {
					t.Fatalf("%s drawn for %s", oplog.KindOf(m), kind)
				}
				checkWire(t, m)
			})
		})
	}
}

// checkWire sends m through both codecs: what arrives is equal, has one form,
// and keeps nothing of the body it came in.
func checkWire(tb rapid.TB, m oplog.Message) {
	tb.Helper()
	for _, c := range codecs {
		body, err := oplog.Encode(c, m)
		if err != nil {
			tb.Fatalf("encode as %s: %v", c, err)
		}
		again, err := oplog.Encode(c, m)
		if err != nil || !bytes.Equal(body, again) {
			tb.Fatalf("%s is not canonical: %q, then %q, %v", c, body, again, err)
		}
		got, err := oplog.Decode(body)
		clear(body)
		if err != nil {
			tb.Fatalf("decode %s %q: %v", c, again, err)
		}
		if d := diff(m, got); d != "" {
			tb.Fatalf("%s changed the message (-want +got):\n%s", c, d)
		}
		if back, err := oplog.Encode(c, got); err != nil || !bytes.Equal(back, again) {
			tb.Fatalf("%s is not canonical after decoding: %q, then %q, %v", c, again, back, err)
		}
	}
}

func TestClockOrderDoesNotShow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := genClock.Draw(t, "clock")
		shuffled := oplog.Clock{}
		for _, o := range rapid.Permutation(rows.Origins()).Draw(t, "order") {
			shuffled[o] = rows[o]
		}
		for _, c := range codecs {
			one, err1 := oplog.Encode(c, &oplog.Begin{Clock: rows})
			two, err2 := oplog.Encode(c, &oplog.Begin{Clock: shuffled})
			if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
				t.Fatalf("%s: %q and %q, %v %v", c, one, two, err1, err2)
			}
		}
	})
}

// A message may be sent to two places at once, and a clock in it may be read by
// others meanwhile. The race detector watches.
func TestEncodeLeavesTheMessageAlone(t *testing.T) {
	clock := oplog.Clock{{Node: "a", Epoch: 1}: 1}
	messages := []oplog.Message{&oplog.Begin{}, &oplog.Pull{}, &oplog.Page{}, &oplog.Begin{Clock: clock}}
	for _, m := range goldens() {
		messages = append(messages, m)
	}
	for _, m := range messages {
		var all sync.WaitGroup
		for _, c := range codecs {
			for range 2 {
				all.Go(func() { _, _ = oplog.Encode(c, m) })
			}
		}
		for range 100 {
			_ = clock.Origins()
		}
		all.Wait()
	}
	// nil stays nil: the strict comparison, not that of peers
	if d := cmp.Diff([]oplog.Message{&oplog.Begin{}, &oplog.Pull{}, &oplog.Page{}}, messages[:3]); d != "" {
		t.Error(d)
	}
}

// A row that holds a zero is not sent: it says what no row says.
func TestZeroRowsStayAtHome(t *testing.T) {
	m := &oplog.Begin{
		Session: oplog.Session{ID: 1, Puller: nonceOf(1)},
		Clock:   oplog.Clock{{Node: "a", Epoch: 1}: 0, {Node: "b", Epoch: 1}: 2},
	}
	for _, c := range codecs {
		got := decode(t, encode(t, c, m)).(*oplog.Begin)
		if d := cmp.Diff(oplog.Clock{{Node: "b", Epoch: 1}: 2}, got.Clock); d != "" {
			t.Errorf("%s: %s", c, d)
		}
	}
}

func TestTextThatIsNotUTF8IsMended(t *testing.T) {
	m := &oplog.Abort{Session: oplog.Session{ID: 1, Puller: nonceOf(1)}, Reason: oplog.ReasonFailed, Text: "key \xff: no"}
	for _, c := range codecs {
		if got := decode(t, encode(t, c, m)).(*oplog.Abort); got.Text != "key \uFFFD: no" {
			t.Errorf("%s: text %q", c, got.Text)
		}
	}
}

// Keys and values are any bytes, in JSON too.
func TestAnyBytesTravel(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	for _, key := range [][]byte{
		all,
		{0},
		{0xff},
		{0xc3, 0x28},
		{0xed, 0xa0, 0x80},
		[]byte("\ufffd"), []byte("\u2028</script>&"), []byte(`\"`), []byte(`a\`),
		[]byte("null"), []byte("{}"), []byte("]"), []byte("\u0000\u0001\u007f"), bytes.Repeat([]byte{0}, 4096), []byte(strings.Repeat(`"`, 4096)),
	} {
		e := anEntry()
		e.Key, e.Value = key, key
		checkWire(t, &oplog.Page{Session: oplog.Session{ID: 1, Puller: nonceOf(1)}, Number: 1, Entries: []oplog.Entry{e, anEntry()}})
	}
}

func TestJSONShowsTextAndHidesTheRest(t *testing.T) {
	page := func(value string) string {
		e := oplog.Entry{Key: []byte("k"), Value: []byte(value), Stamp: oplog.Stamp{HLC: 1, Origin: oplog.Origin{Node: "a", Epoch: 1}, Seq: 1}}
		return string(encode(t, oplog.JSON, &oplog.Page{Number: 1, Entries: []oplog.Entry{e}}))
	}
	for value, want := range map[string]string{
		"grüße":                          `"value":"grüße"`,
		`{"a":"b"}`:                      `"value":"{\"a\":\"b\"}"`,
		"\x00":                           `"value":"\u0000"`,
		"\xff":                           `"value_b64":"/w=="`,
		strings.Repeat("\x00", 30):       `"value_b64":"AAAA`,
		strings.Repeat("<&>\u00e9", 500): `"value":"<&>é<&>é`,
	} {
		if got := page(value); !strings.Contains(got, want) {
			t.Errorf("value %.20q gives %.200s, want %s in it", value, got, want)
		}
	}
}

// A value grows by no more than base64 makes of it, whatever its bytes are, so
// that the largest entry fits a body.
func TestLargestEntryFitsABody(t *testing.T) {
	const size, shares = 1 << 18, oplog.MaxValue >> 18 // the whole takes a minute under the race detector
	for name, unit := range map[string]string{"text": "a", "zeros": "\x00", "quotes": `"`, "binary": "\xff", "lines": "\u2028x"} {
		e := anEntry()
		e.Value = []byte(strings.Repeat(unit, size/len(unit)))
		small := anEntry()
		small.Key = bytes.Repeat([]byte{0}, oplog.MaxKey)
		page := func(e oplog.Entry) oplog.Message {
			return &oplog.Page{Session: oplog.Session{ID: 1, Puller: nonceOf(1)}, Number: 1, Entries: []oplog.Entry{e}}
		}
		for _, c := range codecs {
			body := encode(t, c, page(e))
			if n := len(body)*shares + len(encode(t, c, page(small))); n > oplog.MaxBody {
				t.Errorf("%s in %s: the largest would make a body of %d bytes", name, c, n)
			}
			if got := decode(t, body).(*oplog.Page); !bytes.Equal(got.Entries[0].Value, e.Value) {
				t.Errorf("%s in %s: value changed", name, c)
			}
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	for name, m := range map[string]oplog.Message{
		"digests": &oplog.Heartbeat{Digests: make([]oplog.Digest, oplog.MaxDigests+1)},
		"formats": &oplog.Hello{Formats: make([]uint64, 17)},
		"unknown": &oplog.HelloReply{Unknown: make([]string, oplog.MaxDigests+1)},
		"parts":   &oplog.Compare{Parts: make([]uint64, oplog.ClockParts+1)},
	} {
		for _, c := range codecs {
			if _, err := oplog.Encode(c, m); err == nil {
				t.Errorf("%s as %s: no error above the limit", name, c)
			}
		}
	}
}

// A handshake tells hashes: its size does not grow with the fleet.
func TestHandshakeOfEqualsFitsOneKiB(t *testing.T) {
	clock := oplog.Clock{}
	for i := range 100 {
		clock[oplog.Origin{Node: "node", Epoch: oplog.Epoch(i + 1)}] = 1 << 40
	}
	from := oplog.Instance{
		Node: "node-001", Nonce: nonceOf(0xf0), Prev: nonceOf(0xe0), Started: 1_767_225_600_000, Version: "v1.23.4", MaxPayload: 64 << 20,
	}
	digest := oplog.Digest{
		Bucket: "bucket-1", Clock: oplog.HashClock(clock).Sum, Sum: 1<<64 - 1, Epoch: 1<<64 - 1, Own: 1 << 40, Floor: 1_767_225_600_000 << 16,
	}
	for _, c := range codecs {
		ask := &oplog.Hello{From: from, Session: 1 << 50, Formats: []uint64{1, '{'}, MaxBody: oplog.MaxBody, Digests: []oplog.Digest{digest}}
		answer := &oplog.HelloReply{From: from, Session: 1 << 50, Formats: []uint64{1, '{'}, MaxBody: oplog.MaxBody}
		n := len(encode(t, c, ask)) + len(encode(t, c, answer))
		t.Logf("%s: hello and reply are %d bytes", c, n)
		if n > 1024 {
			t.Errorf("%s: hello and reply are %d bytes", c, n)
		}
	}
}

func TestHeartbeatOf13BucketsFitsOneKiB(t *testing.T) {
	m := &oplog.Heartbeat{
		From: oplog.Instance{
			Node: "node-001", Nonce: nonceOf(0xf0), Prev: nonceOf(0xe0), Started: 1_767_225_600_000, Version: "v1.23.4", MaxPayload: 64 << 20,
		},
		Wall: 1_767_225_600_000,
	}
	for range 13 {
		m.Digests = append(m.Digests, oplog.Digest{
			Bucket: "bucket-1", Clock: 1<<64 - 1, Ahead: 1<<64 - 1, Sum: 1<<64 - 1, Epoch: 1<<64 - 1, Own: 1<<64 - 1, Floor: 1<<64 - 1,
		})
	}
	n := len(encode(t, oplog.Msgpack, m))
	t.Logf("heartbeat is %d bytes", n)
	if n > 1024 {
		t.Errorf("heartbeat is %d bytes", n)
	}
}
