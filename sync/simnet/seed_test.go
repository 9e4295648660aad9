package simnet_test

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"replicator/sync/simnet"
)

var (
	seeds  = flag.Int("seeds", defaultSeeds, "how many histories TestSeeds runs")
	fails  = flag.Int("fails", 5, "after how many failures TestSeeds ends")
	first  = flag.Uint64("first", 1, "the seed TestSeeds begins with")
	onDisk = flag.Bool("pebble", false, "stores lie on the real Pebble, on files in memory")
	shrink = flag.Bool("shrink", true, "make a history that fails as short as can be")
	turns  = flag.Int("turns", 0, "after how many turns the histories of TestSeeds end; 0 for as many as each has")
)

// TestSeeds runs random histories. One that fails is made as short as can be and
// named with the command that shows everything that happens in it.
func TestSeeds(t *testing.T) {
	// Worlds are small and die soon: what a collection costs goes by how many there are.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
	if *seeds == 1 && testing.Verbose() {
		_, _ = simnet.History{Seed: *first, Turns: *turns, Pebble: *onDisk, Trace: func(line string) { t.Log(line) }}.Run()
	}
	started, before := time.Now(), runtime.NumGoroutine()
	s := series{}
	s.run(t)
	took := time.Since(started).Seconds()
	if left := runtime.NumGoroutine() - before; left > 0 && !*onDisk { // Pebble's own take a moment to end
		t.Errorf("%d goroutines, or streams that are half read, are left", left)
	}
	t.Logf("%d seeds from %d in %.0f s, %.0f steps/s\n%s", *seeds, *first, took, float64(s.sum.Count[simnet.Steps])/took, &s.sum)
	if *seeds < 200 || t.Failed() {
		return
	}
	for _, kind := range s.sum.Never() { // what did not happen was not tested
		rare := *seeds < 2000 && (kind == simnet.Wipes || kind == simnet.Doubted || kind == simnet.Seconded || kind == simnet.Accepted || kind == simnet.WipedReads)
		rare = rare || *seeds < 20000 && kind == simnet.Ordered
		if !rare && (!*onDisk || kind != simnet.LostCommits) { // Pebble does not say
			t.Errorf("%s: none", kind)
		}
	}
	steps, faults, restarts := median(s.steps), median(s.faults), median(s.restarts)
	t.Logf("median of a history: %d steps, %d faults, %d restarts; at least %d steps", steps, faults, restarts, slices.Min(s.steps))
	if faults < 8 || restarts < 1 || slices.Min(s.steps) < 300 {
		t.Error("the histories are too tame")
	}
}

// A series is what histories of many seeds came to.
type series struct {
	mu                      sync.Mutex
	sum                     simnet.Stats
	steps, faults, restarts []int
	failed                  int
}

func (s *series) run(t *testing.T) {
	t.Helper()
	jobs := make(chan uint64)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range jobs {
				h := simnet.History{Seed: seed, Turns: *turns, Pebble: *onDisk}
				stats, err := run(h)
				s.add(stats, err != nil)
				if err != nil {
					if *shrink {
						h, err = shortest(h, err)
					}
					t.Errorf("seed %d: %v\n\tgo test ./sync/simnet -run TestSeeds -seeds 1 -first %d -turns %d -pebble=%v -v", seed, err, seed, h.Turns, h.Pebble)
				}
			}
		})
	}
	for i := range uint64(*seeds) {
		if s.failures() >= *fails {
			break
		}
		jobs <- *first + i
	}
	close(jobs)
	workers.Wait()
}

func (s *series) add(stats simnet.Stats, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Add(stats)
	s.steps = append(s.steps, stats.Count[simnet.Steps])
	s.faults = append(s.faults, stats.Faults())
	s.restarts = append(s.restarts, stats.Count[simnet.Restarts])
	if failed {
		s.failed++
	}
}

func (s *series) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func median(list []int) int {
	slices.Sort(list)
	return list[len(list)/2]
}

// shortest returns the history with as few turns as it fails with, and how it
// fails then. err is how the whole of it does.
func shortest(h simnet.History, err error) (simnet.History, error) {
	for n := 1; n < 75 && n != h.Turns; n++ {
		short := simnet.History{Seed: h.Seed, Turns: n, Pebble: h.Pebble}
		if _, err := run(short); err != nil {
			return short, err
		}
	}
	return h, err
}

// run turns a panic of the stage into an error.
func run(h simnet.History) (stats simnet.Stats, err error) {
	defer func() {
		if p := recover(); p != nil {
			buf := make([]byte, 4096)
			err = fmt.Errorf("panic: %v\n%s", p, strings.TrimSpace(string(buf[:runtime.Stack(buf, false)])))
		}
	}()
	return h.Run()
}

// TestSeedIsDeterministic runs a history twice.
func TestSeedIsDeterministic(t *testing.T) {
	for seed := range uint64(5) {
		var runs [2]strings.Builder
		for i := range runs {
			if _, err := (simnet.History{Seed: seed, Trace: func(line string) { runs[i].WriteString(line + "\n") }}).Run(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if runs[0].String() != runs[1].String() {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
