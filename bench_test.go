package replicator_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"replicator"
)

// Benchmarks over real Pebble on disk and a real NATS server, one process.
// Values have 100 bytes, keys about 20.

var benchValue = make([]byte, 100)

func benchKey(i uint64) []byte { return fmt.Appendf(nil, "key-%016d", i) }

func BenchmarkPut(b *testing.B) {
	for _, durability := range []replicator.Durability{replicator.DurabilitySync, replicator.DurabilityInterval} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", durability, writers), func(b *testing.B) {
				n := open(b, startServer(b).ClientURL(), replicator.Config{Node: "a", Durability: durability})
				putFrom(b, bucket(b, n), writers)
			})
		}
	}
}

// putFrom shares b.N puts between writers and reports keys a second.
func putFrom(b *testing.B, bk *replicator.Bucket, writers int) {
	b.Helper()
	var next atomic.Uint64
	done := make(chan error, writers)
	b.ResetTimer()
	for range writers {
		go func() {
			for {
				i := next.Add(1)
				if i > uint64(b.N) {
					done <- nil
					return
				}
				if _, err := bk.Put(context.Background(), benchKey(i), benchValue); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

// BenchmarkLive counts until the other master has applied what 64 writers put.
func BenchmarkLive(b *testing.B) {
	for _, durability := range []replicator.Durability{replicator.DurabilitySync, replicator.DurabilityInterval} {
		b.Run(string(durability), func(b *testing.B) {
			s := startServer(b)
			from := open(b, s.ClientURL(), replicator.Config{Node: "a", Durability: durability})
			to := open(b, s.ClientURL(), replicator.Config{Node: "b", Durability: durability})
			put(b, bucket(b, from), "first", "")
			eventually(b, "the first write arrives", has(bucket(b, to), "first", ""))
			putFrom(b, bucket(b, from), 64)
			want := bucket(b, from).Clock()
			eventually(b, "all arrive", func() bool { return bucket(b, to).Clock().GE(want) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

// BenchmarkPull measures an empty master that joins one with 100,000 keys, once
// in log order and once, above 10,000 missing writes the rule, in key order.
func BenchmarkPull(b *testing.B) {
	for _, keys := range []uint64{10_000, 100_000} {
		order := "log"
		if keys > 10_000 {
			order = "key"
		}
		b.Run(fmt.Sprintf("%s-order/keys=%d", order, keys), func(b *testing.B) {
			s := startServer(b)
			from := open(b, s.ClientURL(), replicator.Config{Node: "a", Durability: replicator.DurabilityInterval})
			fill(b, bucket(b, from), keys)
			want := bucket(b, from).Clock()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				to := open(b, s.ClientURL(), replicator.Config{Node: fmt.Sprintf("b%d", i)})
				eventually(b, "the joiner has all", func() bool { return bucket(b, to).Clock().GE(want) })
				b.StopTimer()
				if err := to.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

func fill(b *testing.B, bk *replicator.Bucket, keys uint64) {
	b.Helper()
	var next atomic.Uint64
	done := make(chan error, 64)
	for range 64 {
		go func() {
			for {
				i := next.Add(1)
				if i > keys {
					done <- nil
					return
				}
				if _, err := bk.Put(context.Background(), benchKey(i), benchValue); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 64 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	n := open(b, startServer(b).ClientURL(), replicator.Config{Node: "a", Durability: replicator.DurabilityInterval})
	bk := bucket(b, n)
	const keys = 100_000
	fill(b, bk, keys)
	rows := 0
	b.ResetTimer()
	for b.Loop() {
		for _, err := range bk.Scan(b.Context(), replicator.ScanOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			rows++
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "keys/s")
}
