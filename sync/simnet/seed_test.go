package simnet_test

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"replicator/sync/simnet"
)

var (
	seeds = flag.Int("seeds", defaultSeeds, "how many histories TestSeeds runs")
	fails = flag.Int("fails", 5, "after how many failures TestSeeds ends")
	first = flag.Uint64("first", 1, "the seed TestSeeds begins with")
)

// TestSeeds runs random histories. A seed that fails is named; run it alone
// with -first SEED -seeds 1 -v to see everything that happened in it.
func TestSeeds(t *testing.T) {
	started := time.Now()
	jobs := make(chan uint64)
	var mu sync.Mutex
	var sum simnet.Stats
	failed := 0
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range jobs {
				stats, err := runSeed(seed)
				mu.Lock()
				sum.Add(stats)
				if err != nil {
					failed++
					t.Errorf("seed %d: %v", seed, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range uint64(*seeds) {
		mu.Lock()
		stop := failed >= *fails
		mu.Unlock()
		if stop {
			break
		}
		jobs <- *first + i
	}
	close(jobs)
	workers.Wait()
	if *seeds == 1 && testing.Verbose() {
		_, _ = simnet.RunSeed(*first, func(line string) { t.Log(line) })
	}
	took := time.Since(started).Seconds()
	t.Logf("%d seeds from %d in %.0f s, %.0f steps/s\n%s", *seeds, *first, took, float64(sum.Count[simnet.Steps])/took, &sum)
	if *seeds >= 200 {
		for _, kind := range sum.Never() { // what did not happen was not tested
			t.Errorf("%s: none", kind)
		}
	}
}

// runSeed turns a panic of the stage into an error that names the seed.
func runSeed(seed uint64) (stats simnet.Stats, err error) {
	defer func() {
		if p := recover(); p != nil {
			buf := make([]byte, 4096)
			err = fmt.Errorf("panic: %v\n%s", p, strings.TrimSpace(string(buf[:runtime.Stack(buf, false)])))
		}
	}()
	return simnet.RunSeed(seed, nil)
}

// TestSeedIsDeterministic runs a history twice.
func TestSeedIsDeterministic(t *testing.T) {
	for seed := range uint64(5) {
		var runs [2]strings.Builder
		for i := range runs {
			if _, err := simnet.RunSeed(seed, func(line string) { runs[i].WriteString(line + "\n") }); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if runs[0].String() != runs[1].String() {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
