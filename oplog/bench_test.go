package oplog_test

import (
	"bytes"
	"fmt"
	"testing"

	"replicator/oplog"
)

const benchEntries = 64

// benchLive is a commit group as a busy node publishes it: values of 100 bytes.
func benchLive() *oplog.Live {
	origin := oplog.Origin{Node: "node-001", Epoch: 0x1122334455667788}
	m := &oplog.Live{Bucket: "default", Origin: origin, First: 1_000_001, Last: 1_000_000 + benchEntries, Nonce: nonceOf(1)}
	for seq := m.First; seq <= m.Last; seq++ {
		stamp := oplog.Stamp{HLC: 1_767_225_600_000<<16 + oplog.HLC(seq), Origin: origin, Seq: seq}
		prev := stamp
		prev.HLC, prev.Seq = prev.HLC-1000, prev.Seq-1000
		m.Entries = append(m.Entries, oplog.Entry{
			Key: fmt.Appendf(nil, "users/%08d/profile", seq), Value: bytes.Repeat([]byte("value "), 17)[:100], Stamp: stamp, Prev: prev,
		})
	}
	return m
}

func perEntry(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/entry")
}

func BenchmarkEncodeLive(b *testing.B) {
	for _, c := range codecs {
		b.Run(string(c), func(b *testing.B) {
			m := benchLive()
			b.SetBytes(int64(len(encode(b, c, m))))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := oplog.Encode(c, m); err != nil {
					b.Fatal(err)
				}
			}
			perEntry(b)
		})
	}
}

func BenchmarkDecodeLive(b *testing.B) {
	for _, c := range codecs {
		b.Run(string(c), func(b *testing.B) {
			body := encode(b, c, benchLive())
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := oplog.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
			perEntry(b)
		})
	}
}

func BenchmarkEntryHash(b *testing.B) {
	e := benchLive().Entries[0]
	b.ReportAllocs()
	for b.Loop() {
		_ = e.Hash()
	}
}

func BenchmarkClockHashMove(b *testing.B) {
	var h oplog.ClockHash
	o := oplog.Origin{Node: "node-001", Epoch: 0x1122334455667788}
	b.ReportAllocs()
	var seq oplog.Seq
	for b.Loop() {
		h.Move(o, seq, seq+1)
		seq++
	}
}
