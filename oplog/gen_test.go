package oplog_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"replicator/oplog"
)

var codecs = []oplog.Codec{oplog.Msgpack, oplog.JSON}

// diff compares messages as a peer sees them: nothing tells nil from empty.
func diff(want, got oplog.Message) string {
	if reflect.DeepEqual(want, got) { // much faster
		return ""
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

func encode(tb testing.TB, c oplog.Codec, m oplog.Message) []byte {
	tb.Helper()
	body, err := oplog.Encode(c, m)
	if err != nil {
		tb.Fatalf("encode %s as %s: %v", oplog.KindOf(m), c, err)
	}
	return body
}

func decode(tb testing.TB, body []byte) oplog.Message {
	tb.Helper()
	m, err := oplog.Decode(body)
	if err != nil {
		tb.Fatalf("decode %q: %v", body[:min(len(body), 200)], err)
	}
	return m
}

// Generators of what a correct master sends.
var (
	genName = rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`)
	// Few names, so that origins meet each other.
	genNode   = rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "B-2_x"}), genName)
	genEpoch  = rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Min(1))
	genSeq    = rapid.OneOf(rapid.Uint64Range(1, 5), rapid.Uint64Min(1))
	genBytes  = rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 1, 40), rapid.Map(rapid.StringN(1, 20, 80), toBytes))
	genText   = rapid.StringN(0, 20, 80)
	genNonce  = rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) (n oplog.Nonce) { b[0] |= 1; copy(n[:], b); return n })
	genOrigin = rapid.Custom(func(t *rapid.T) oplog.Origin {
		return oplog.Origin{Node: genNode.Draw(t, "node"), Epoch: genEpoch.Draw(t, "epoch")}
	})
	genClock = rapid.Map(rapid.MapOfN(genOrigin, genSeq, 0, 20), func(m map[oplog.Origin]uint64) oplog.Clock { return m })
	genParts = rapid.Custom(func(t *rapid.T) []uint64 {
		set := rapid.MapOf(rapid.Uint64Range(0, oplog.ClockParts-1), rapid.Bool()).Draw(t, "parts")
		return slices.Sorted(maps.Keys(set))
	})
	genDigest = rapid.Custom(func(t *rapid.T) oplog.Digest {
		u := rapid.Uint64()
		return oplog.Digest{
			Bucket: genName.Draw(t, "bucket"), Clock: u.Draw(t, "clock"), Ahead: u.Draw(t, "ahead"), Sum: u.Draw(t, "sum"),
			Epoch: u.Draw(t, "epoch"), Own: u.Draw(t, "own"), Floor: oplog.HLC(u.Draw(t, "floor")),
		}
	})
	genDigests  = rapid.SliceOfN(genDigest, 0, 5)
	genInstance = rapid.Custom(func(t *rapid.T) oplog.Instance {
		return oplog.Instance{
			Node: genName.Draw(t, "node"), Nonce: genNonce.Draw(t, "nonce"), Prev: genNonce.Draw(t, "prev"),
			Started: rapid.Int64().Draw(t, "started"), Version: genText.Draw(t, "version"), MaxPayload: rapid.Uint64().Draw(t, "payload"),
			Starts: rapid.Uint64().Draw(t, "starts"), Replica: rapid.Bool().Draw(t, "replica"),
			Finals: rapid.Uint64().Draw(t, "finals"),
		}
	})
	genSession = rapid.Custom(func(t *rapid.T) oplog.Session {
		return oplog.Session{
			ID:     rapid.Uint64Min(1).Draw(t, "id"),
			Puller: genNonce.Draw(t, "puller"), Donor: genNonce.Draw(t, "donor"),
		}
	})
)

func toBytes(s string) []byte { return []byte(s) }

// entryOf draws an entry that origin wrote as seq.
func entryOf(t *rapid.T, origin oplog.Origin, seq oplog.Seq) oplog.Entry {
	e := oplog.Entry{
		Key:        genBytes.Draw(t, "key"),
		Stamp:      oplog.Stamp{HLC: oplog.HLC(rapid.Uint64Min(1).Draw(t, "hlc")), Origin: origin, Seq: seq},
		Tombstone:  rapid.Bool().Draw(t, "tombstone"),
		Expiry:     rapid.OneOf(rapid.Just[int64](0), rapid.Int64Min(0)).Draw(t, "expiry"),
		BatchBack:  rapid.Uint32Range(0, uint32(min(seq-1, 1<<32-1))).Draw(t, "back"),
		BatchAhead: rapid.Uint32Range(0, uint32(min(1<<64-1-seq, 1<<32-1))).Draw(t, "ahead"),
	}
	if !e.Tombstone {
		e.Type = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[!-~]([ -~]{0,253}[!-~])?`)).Draw(t, "type")
		e.Value = rapid.OneOf(rapid.Just[[]byte](nil), genBytes).Draw(t, "value")
	}
	if e.Stamp.HLC > 1 && rapid.Bool().Draw(t, "replaces") {
		hlc := rapid.Uint64Range(1, uint64(e.Stamp.HLC)-1).Draw(t, "prev hlc")
		e.Prev = oplog.Stamp{HLC: oplog.HLC(hlc), Origin: genOrigin.Draw(t, "prev origin"), Seq: genSeq.Draw(t, "prev seq")}
	}
	return e
}

var genEntry = rapid.Custom(func(t *rapid.T) oplog.Entry {
	return entryOf(t, genOrigin.Draw(t, "origin"), genSeq.Draw(t, "seq"))
})

var genLive = rapid.Custom(func(t *rapid.T) oplog.Message {
	m := &oplog.Live{
		Bucket: genName.Draw(t, "bucket"), Origin: genOrigin.Draw(t, "origin"), Nonce: genNonce.Draw(t, "nonce"),
		First: rapid.Uint64Range(1, 1<<60).Draw(t, "first"),
	}
	m.Last = m.First + rapid.Uint64Range(0, 9).Draw(t, "more")
	if rapid.Bool().Draw(t, "announced") {
		m.Size = rapid.Uint64Min(1).Draw(t, "size")
		return m
	}
	for seq := m.First; seq <= m.Last; seq++ {
		if seq == m.Last || rapid.Bool().Draw(t, "survives") {
			m.Entries = append(m.Entries, entryOf(t, m.Origin, seq))
		}
	}
	return m
})

var genPull = rapid.Custom(func(t *rapid.T) oplog.Message {
	m := &oplog.Pull{
		Session: genSession.Draw(t, "session"), Bucket: genName.Draw(t, "bucket"), Compared: rapid.Bool().Draw(t, "compared"),
		Clock: genClock.Draw(t, "clock"), Resume: rapid.Bool().Draw(t, "resume"),
		Finals: rapid.Uint64().Draw(t, "finals"),
	}
	if m.Resume {
		m.Cursor = genBytes.Draw(t, "cursor")
		if m.Reconcile = rapid.Bool().Draw(t, "reconcile"); m.Reconcile {
			m.Compared, m.Clock = false, nil
		}
	}
	return m
})

// genMessages draws messages of every kind.
var genMessages = map[oplog.Kind]*rapid.Generator[oplog.Message]{
	oplog.KindLive: genLive,
	oplog.KindPull: genPull,
	oplog.KindHeartbeat: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Heartbeat{
			From: genInstance.Draw(t, "from"), Wall: rapid.Int64().Draw(t, "wall"),
			Stopping: rapid.Bool().Draw(t, "stopping"), Digests: genDigests.Draw(t, "digests"),
		}
	}),
	oplog.KindHello: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Hello{
			From: genInstance.Draw(t, "from"), Session: rapid.Uint64().Draw(t, "session"),
			Formats: rapid.SliceOfN(rapid.Uint64(), 0, 16).Draw(t, "formats"), MaxBody: rapid.Uint64().Draw(t, "body"),
			Digests: genDigests.Draw(t, "digests"), Unknown: rapid.SliceOfN(genName, 0, 5).Draw(t, "unknown"),
		}
	}),
	oplog.KindHelloReply: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.HelloReply{
			From: genInstance.Draw(t, "from"), Session: rapid.Uint64().Draw(t, "session"),
			Formats: rapid.SliceOfN(rapid.Uint64(), 0, 16).Draw(t, "formats"), MaxBody: rapid.Uint64().Draw(t, "body"),
			Digests: genDigests.Draw(t, "digests"), Unknown: rapid.SliceOfN(genName, 0, 5).Draw(t, "unknown"),
			Unsure: rapid.SliceOfN(genName, 0, 5).Draw(t, "unsure"),
		}
	}),
	oplog.KindCompare: rapid.Custom(func(t *rapid.T) oplog.Message {
		hash := oplog.HashClock(genClock.Draw(t, "clock"))
		return &oplog.Compare{Session: genSession.Draw(t, "session"), Bucket: genName.Draw(t, "bucket"), Parts: hash.Parts[:]}
	}),
	oplog.KindDiffer: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Differ{Session: genSession.Draw(t, "session"), Parts: genParts.Draw(t, "parts")}
	}),
	oplog.KindBegin: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Begin{
			Session: genSession.Draw(t, "session"), KeyOrder: rapid.Bool().Draw(t, "key order"),
			Clock: genClock.Draw(t, "clock"), Rows: rapid.Uint64().Draw(t, "rows"),
			Ahead: genClock.Draw(t, "ahead"), GCV: genClock.Draw(t, "gcv"), GCTS: oplog.HLC(rapid.Uint64().Draw(t, "gcts")), HLC: oplog.HLC(rapid.Uint64().Draw(t, "hlc")),
			Folded: rapid.Bool().Draw(t, "folded"),
		}
	}),
	oplog.KindPage: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Page{
			Session: genSession.Draw(t, "session"), Number: rapid.Uint64Min(1).Draw(t, "number"),
			Entries: rapid.SliceOfN(genEntry, 0, 6).Draw(t, "entries"),
		}
	}),
	oplog.KindEnd: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.End{
			Session: genSession.Draw(t, "session"), Pages: rapid.Uint64().Draw(t, "pages"), Entries: rapid.Uint64().Draw(t, "entries"),
			Cut: rapid.Bool().Draw(t, "cut"), Cursor: genBytes.Draw(t, "cursor"),
		}
	}),
	oplog.KindAck: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Ack{Session: genSession.Draw(t, "session"), Bucket: genName.Draw(t, "bucket"), Number: rapid.Uint64().Draw(t, "number")}
	}),
	oplog.KindBusy: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Busy{Session: genSession.Draw(t, "session"), RetryAfter: rapid.Uint64().Draw(t, "retry")}
	}),
	oplog.KindParts: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Parts{
			Session: genSession.Draw(t, "session"), Bucket: genName.Draw(t, "bucket"), Clock: genClock.Draw(t, "clock"),
			Sums: rapid.SliceOfN(rapid.Uint64(), oplog.HashParts, oplog.HashParts).Draw(t, "sums"),
			Bad:  genParts.Draw(t, "bad"), Cursor: genBytes.Draw(t, "cursor"),
		}
	}),
	oplog.KindWait: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Wait{Session: genSession.Draw(t, "session")}
	}),
	oplog.KindReport: rapid.Custom(func(t *rapid.T) oplog.Message {
		m := &oplog.Report{
			From: genInstance.Draw(t, "from"), Bucket: genName.Draw(t, "bucket"),
			Clock: genClock.Draw(t, "clock"), Floor: oplog.HLC(rapid.Uint64().Draw(t, "floor")),
		}
		m.Folded = m.From.Finals != 0 && rapid.Bool().Draw(t, "folded")
		return m
	}),
	oplog.KindAbort: rapid.Custom(func(t *rapid.T) oplog.Message {
		return &oplog.Abort{
			Session: genSession.Draw(t, "session"), Bucket: genName.Draw(t, "bucket"),
			Reason: oplog.Reason(genText.Draw(t, "reason")), Text: genText.Draw(t, "text"),
		}
	}),
}
