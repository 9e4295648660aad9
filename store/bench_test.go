package store_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"replicator/oplog"
	"replicator/store"
)

func benchBucket(b *testing.B) (*store.Store, *store.Bucket) {
	b.Helper()
	kv, err := store.OpenPebble(b.TempDir(), store.PebbleOptions{Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	s := open(b, kv, "n1", 1)
	b.Cleanup(func() { _ = s.Close() })
	return s, join(b, s, "b")
}

// spread makes a key that is new for each n and lies anywhere.
func spread(n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("key/"), n*0x9e3779b97f4a7c15)
}

func perSecond(b *testing.B, keys int) {
	b.Helper()
	b.ReportMetric(float64(keys)/b.Elapsed().Seconds(), "keys/s")
}

var benchValue = make([]byte, 100)

func BenchmarkWrite(b *testing.B) {
	for _, group := range []int{1, 64} {
		for _, sync := range []bool{false, true} {
			b.Run(fmt.Sprintf("group=%d/sync=%v", group, sync), func(b *testing.B) {
				s, bucket := benchBucket(b)
				ops := make([]store.Op, group)
				n := uint64(0)
				for b.Loop() {
					for i := range ops {
						n++
						ops[i] = store.Op{Key: spread(n % 200_000), Value: benchValue}
					}
					if _, err := bucket.Write(noon, ops); err != nil {
						b.Fatal(err)
					}
					if sync {
						if err := s.Sync(); err != nil {
							b.Fatal(err)
						}
					}
				}
				perSecond(b, int(n))
			})
		}
	}
}

// foreignEntries makes the next count writes of one foreign origin.
func foreignEntries(first uint64, count int) []oplog.Entry {
	list := make([]oplog.Entry, count)
	for i := range list {
		seq := first + uint64(i)
		list[i] = oplog.Entry{Key: spread(seq), Value: benchValue, Stamp: oplog.Stamp{
			HLC: oplog.HLCAt(noon) + oplog.HLC(seq), Origin: oplog.Origin{Node: "x", Epoch: 9}, Seq: seq,
		}}
	}
	return list
}

func BenchmarkApplyLive(b *testing.B) {
	for _, group := range []int{1, 64} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			_, bucket := benchBucket(b)
			n := uint64(0)
			for b.Loop() {
				m := message(foreignEntries(n+1, group)...)
				n += uint64(group)
				if _, err := bucket.ApplyLive(noon, []*oplog.Live{m}); err != nil {
					b.Fatal(err)
				}
			}
			perSecond(b, int(n))
		})
	}
}

func BenchmarkApplyPage(b *testing.B) {
	_, bucket := benchBucket(b)
	const page = 1000
	n := uint64(0)
	for b.Loop() {
		entries := foreignEntries(n+1, page)
		n += page
		// Half of them come below the highest extra, as in a pull by key.
		entries[0], entries[page/2] = entries[page/2], entries[0]
		if _, err := bucket.ApplyPage(noon, entries, nil); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, int(n))
}

func BenchmarkScan(b *testing.B) {
	_, bucket := benchBucket(b)
	const rows = 100_000
	for n := uint64(1); n < rows; n += 1000 {
		if _, err := bucket.ApplyPage(noon, foreignEntries(n, 1000), nil); err != nil {
			b.Fatal(err)
		}
	}
	scanned := 0
	for b.Loop() {
		for e, err := range bucket.Scan(store.ScanOptions{Now: noon, Limit: 10_000}) {
			if err != nil || len(e.Key) == 0 {
				b.Fatal(err)
			}
			scanned++
		}
	}
	perSecond(b, scanned)
}

func BenchmarkSnapshotLog(b *testing.B) {
	_, bucket := benchBucket(b)
	for n := uint64(1); n < 20_000; n += 1000 {
		if _, err := bucket.ApplyPage(noon, foreignEntries(n, 1000), nil); err != nil {
			b.Fatal(err)
		}
	}
	streamed := 0
	for b.Loop() {
		snap, err := bucket.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		streamed += len(all(b, snap.Log(nil)))
		if err := snap.Close(); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, streamed)
}
