package replicator_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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

// BenchmarkPutBesideWatchers has 64 writers beside readers of a node that are told of
// every change, or each of a prefix of its own, and tells what a reader costs in memory.
func BenchmarkPutBesideWatchers(b *testing.B) {
	for _, c := range []struct {
		readers int
		prefix  bool
	}{{0, false}, {1000, true}, {1000, false}} {
		b.Run(fmt.Sprintf("readers=%d/own-prefix=%v", c.readers, c.prefix), func(b *testing.B) {
			n := open(b, startServer(b).ClientURL(), replicator.Config{Node: "a", Durability: replicator.DurabilityInterval})
			bk := bucket(b, n)
			before := heap()
			ctx, stop := context.WithCancel(b.Context())
			var readers sync.WaitGroup
			for i := range c.readers {
				o := replicator.WatchOptions{}
				if c.prefix {
					o.Prefix = fmt.Appendf(nil, "other-%d", i)
				}
				events := bk.Watch(ctx, o)
				readers.Go(func() {
					for _, err := range events {
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			each := float64(heap()-before) / 1024 / float64(max(c.readers, 1))
			putFrom(b, bk, 64)
			b.StopTimer()
			if c.readers > 0 {
				b.ReportMetric(each, "KiB/reader")
			}
			stop()
			readers.Wait()
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkWatchBesideLoad tells how long a change of one bucket takes to a reader at
// the other master while another bucket takes that many puts a second. In the same run
// goes a message of bare NATS, with no disk and none of our code in its way: what it
// waits for are the cores.
func BenchmarkWatchBesideLoad(b *testing.B) {
	for _, load := range []int{0, 20_000} {
		for _, batch := range []int{1, 100} {
			if load == 0 && batch > 1 {
				continue
			}
			b.Run(fmt.Sprintf("puts=%d/batch=%d", load, batch), func(b *testing.B) { watchBesideLoad(b, load, batch) })
		}
	}
}

func watchBesideLoad(b *testing.B, load, batch int) {
	b.Helper()
	s := startServer(b)
	from := open(b, s.ClientURL(), replicator.Config{Node: "a", Durability: replicator.DurabilityInterval})
	to := open(b, s.ClientURL(), replicator.Config{Node: "b", Durability: replicator.DurabilityInterval})
	busy, err := from.CreateBucket("busy")
	if err != nil {
		b.Fatal(err)
	}
	eventually(b, "b holds it", func() bool { _, err := to.Bucket("busy"); return err == nil })
	ctx, stop := context.WithCancel(b.Context())
	var writers sync.WaitGroup
	var taken atomic.Int64
	began := time.Now()
	if load > 0 {
		for w := range 16 {
			writers.Go(func() { keepPutting(ctx, busy, w, load/16, batch, &taken) })
		}
	}
	quiet := bucket(b, from)
	events := bucket(b, to).Watch(ctx, replicator.WatchOptions{})
	arrived := make(chan time.Duration, 1)
	writers.Go(func() {
		for ev, err := range events {
			if err != nil {
				return
			}
			if len(ev.Entry.Value) == 8 {
				arrived <- time.Since(began) - time.Duration(binary.BigEndian.Uint64(ev.Entry.Value))
			}
		}
	})
	var took, bareTook []time.Duration
	bare := bareMessage(b, s.ClientURL())
	writers.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			bareTook = append(bareTook, bare())
		}
	})
	tick := time.NewTicker(5 * time.Millisecond) // 200 a second
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		at := binary.BigEndian.AppendUint64(nil, uint64(time.Since(began)))
		if _, err := quiet.Put(ctx, benchKey(uint64(len(took)%100)), at); err != nil {
			b.Fatal(err)
		}
		took = append(took, <-arrived)
	}
	rate := float64(taken.Load()) / time.Since(began).Seconds()
	stop()
	writers.Wait()
	b.ReportMetric(quantile(took, 0.5), "p50-ms")
	b.ReportMetric(quantile(took, 0.99), "p99-ms")
	b.ReportMetric(quantile(bareTook, 0.5), "bare-p50-ms")
	b.ReportMetric(quantile(bareTook, 0.99), "bare-p99-ms")
	b.ReportMetric(rate, "puts/s")
}

// bareMessage returns what sends one message from a connection to another and tells how
// long it took.
func bareMessage(b *testing.B, url string) func() time.Duration {
	b.Helper()
	from, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(from.Close)
	to, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(to.Close)
	arrived := make(chan struct{}, 1)
	if _, err := to.Subscribe("bare", func(*nats.Msg) { arrived <- struct{}{} }); err != nil {
		b.Fatal(err)
	}
	if err := to.Flush(); err != nil {
		b.Fatal(err)
	}
	return func() time.Duration {
		began := time.Now()
		if err := from.Publish("bare", benchValue); err != nil {
			b.Error(err)
			return 0
		}
		<-arrived
		return time.Since(began)
	}
}

// quantile is in milliseconds; it sorts the list.
func quantile(list []time.Duration, share float64) float64 {
	slices.Sort(list)
	return float64(list[int(share*float64(len(list)-1))].Microseconds()) / 1000
}

// keepPutting writes rate keys a second, in batches.
func keepPutting(ctx context.Context, bk *replicator.Bucket, writer, rate, batch int, taken *atomic.Int64) {
	began := time.Now()
	for n := 0; ctx.Err() == nil; n += batch {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		ops := make([]replicator.Op, batch)
		for i := range ops {
			ops[i] = replicator.Op{Key: fmt.Appendf(nil, "busy-%d-%d", writer, (n+i)%10_000), Value: benchValue}
		}
		if _, err := bk.Batch(ctx, ops...); err != nil {
			return
		}
		taken.Add(int64(batch))
	}
}
