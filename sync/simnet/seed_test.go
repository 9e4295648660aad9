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
				add(&sum, stats)
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
	t.Logf("%d seeds from %d: %+v, %.0f steps/s, %.1f virtual hours",
		*seeds, *first, sum, float64(sum.Steps)/time.Since(started).Seconds(), sum.Virtual.Hours())
	if *seeds >= 200 {
		checkFired(t, sum)
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

func add(sum *simnet.Stats, s simnet.Stats) {
	sum.Steps += s.Steps
	sum.Messages += s.Messages
	sum.Lost += s.Lost
	sum.Doubled += s.Doubled
	sum.Reordered += s.Reordered
	sum.Cuts += s.Cuts
	sum.Crashes += s.Crashes
	sum.LostCommits += s.LostCommits
	sum.Writes += s.Writes
	sum.Pulls += s.Pulls
	sum.Pages += s.Pages
	sum.Cutoffs += s.Cutoffs
	sum.Announced += s.Announced
	sum.Overflows += s.Overflows
	sum.Compared += s.Compared
	sum.Bytes += s.Bytes
	sum.Refusals += s.Refusals
	sum.Stable += s.Stable
	sum.Collected += s.Collected
	sum.Reconciles += s.Reconciles
	sum.Reissued += s.Reissued
	sum.Unheard += s.Unheard
	sum.Restores += s.Restores
	sum.Talk += s.Talk
	sum.Virtual += s.Virtual
	sum.Settle = max(sum.Settle, s.Settle)
}

// checkFired fails a run in which some fault or road never happened: what did
// not happen was not tested.
func checkFired(t *testing.T, s simnet.Stats) {
	t.Helper()
	for name, n := range map[string]int{
		"lost messages": s.Lost, "doubled messages": s.Doubled, "reordered messages": s.Reordered,
		"cuts": s.Cuts, "crashes": s.Crashes, "lost commits": s.LostCommits, "pulls": s.Pulls,
		"pages": s.Pages, "cut streams": s.Cutoffs, "announced writes": s.Announced,
		"overflows": s.Overflows, "refused batches": s.Refusals, "compared clocks": s.Compared,
		"tombstones collected by force": s.Collected, "stable tombstones collected": s.Stable, "reconciles": s.Reconciles, "writes issued again": s.Reissued, "older disks": s.Restores, "answers that nobody listens": s.Unheard,
	} {
		if n == 0 {
			t.Errorf("%s: never happened", name)
		}
	}
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
