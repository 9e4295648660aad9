// Command mutants plants one bug after the other into a copy of the code and
// wants the simulator, or a directed test, to find each. A bug that survives is
// a test that is missing.
//
//	go run ./sync/simnet/mutants [-seeds 3000] [-part 1/3] [-only NAME,...] [-fails 5] [-random]
//
// Run it in the root of the module. The files themselves stay as they are: the
// compiler is shown changed ones in their place (go help build, -overlay). An
// edit whose text is not found exactly once ends the run: whoever changes that
// line has to look at the bug again.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	seeds = flag.Int("seeds", 3000, "random histories to try each bug with")
	part  = flag.String("part", "1/1", "which share of the bugs: 2/3 is the second third")
	only  = flag.String("only", "", "the names of some bugs, with commas between them")

	fails  = flag.Int("fails", 5, "random histories that have to find a bug, for the median of how many it takes")
	random = flag.Bool("random", false, "random histories also for the bugs that a directed test finds")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, err := chosen()
	if err != nil {
		return err
	}
	if err := fit(mutants); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "bug\tvariants\twhat it does\tfound by\tseconds")
	var survivors []string
	for built := range buildAhead(ctx, list, dir) {
		by, err := built.hunt(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", built.mutant.name, err)
		}
		m := built.mutant
		if by == "" {
			survivors = append(survivors, m.name)
			by = "NOTHING"
		}
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.0f\n", m.name, strings.Join(variantsOf(m.name), " "), m.what, by, time.Since(built.began).Seconds())
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, by)
	}
	_, _ = fmt.Fprintf(out, "%d bugs, %d survive\n", len(list), len(survivors))
	if err := out.Flush(); err != nil {
		return err
	}
	if len(survivors) > 0 {
		return fmt.Errorf("nothing finds %s", strings.Join(survivors, ", "))
	}
	return nil
}

// chosen returns the bugs that the flags ask for.
func chosen() ([]mutant, error) {
	var nth, of int
	if _, err := fmt.Sscanf(*part, "%d/%d", &nth, &of); err != nil || nth < 1 || nth > of {
		return nil, fmt.Errorf("-part %q: want one such as 1/3", *part)
	}
	var list []mutant
	for i, m := range mutants {
		if slices.Contains(strings.Split(*only, ","), m.name) || *only == "" && i%of == nth-1 {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no such bug")
	}
	return list, nil
}

// A built is the test program of a package with a bug in it.
type built struct {
	mutant *mutant
	pkg    string
	test   string // the directed one; empty for random histories
	binary string
	began  time.Time
	err    error
}

// buildAhead builds one test program after the other, each while the one before
// runs: linking keeps one processor busy at most.
func buildAhead(ctx context.Context, list []mutant, dir string) <-chan *built {
	ch := make(chan *built)
	go func() {
		defer close(ch)
		for i := range list {
			b := list[i].build(ctx, dir)
			select {
			case ch <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

// build makes the test program that is to find the bug: that of the directed
// test if there is one, else that of the random histories.
func (m *mutant) build(ctx context.Context, dir string) *built {
	b := &built{mutant: m, pkg: "./sync/simnet", began: time.Now()}
	if t, ok := directed[m.name]; ok && !*random {
		b.pkg, b.test = t[0], t[1]
	}
	b.binary = filepath.Join(dir, m.name+".test")
	overlay, err := m.plant(dir)
	if err != nil {
		b.err = err
		return b
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-vet=off", "-ldflags=-s -w", "-o", b.binary, b.pkg) //nolint:gosec // our own list
	if out, err := cmd.CombinedOutput(); err != nil {
		b.err = fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return b
}

// hunt returns what finds the bug: a directed test, the random histories, or
// nothing.
func (b *built) hunt(ctx context.Context) (string, error) {
	if b.err != nil {
		return "", b.err
	}
	defer func() { _ = os.Remove(b.binary) }()
	if b.test != "" {
		_, failed, err := b.run(ctx, "-test.run", "^"+b.test+"$")
		if err != nil || !failed {
			return "", err
		}
		return b.test, nil
	}
	out, failed, err := b.run(ctx, "-test.run", "^TestSeeds$", "-seeds", strconv.Itoa(*seeds), "-fails", strconv.Itoa(*fails), "-shrink=false")
	if err != nil || !failed {
		return "", err
	}
	return medianSeed(out), nil
}

// medianSeed says after how many seeds the bug shows, about, and as what.
func medianSeed(out []byte) string {
	found := seedIn.FindAllSubmatch(out, -1)
	if len(found) == 0 {
		return "the random histories"
	}
	var list []int
	for _, f := range found {
		n, _ := strconv.Atoi(string(f[1]))
		list = append(list, n)
	}
	slices.Sort(list)
	// The gaps between failing seeds are what a run with other seeds has to wait.
	gaps := []int{list[0]}
	for i := 1; i < len(list); i++ {
		gaps = append(gaps, list[i]-list[i-1])
	}
	slices.Sort(gaps)
	return fmt.Sprintf("%d seeds: %s", gaps[len(gaps)/2], short(found[0][2]))
}

var seedIn = regexp.MustCompile(`seed (\d+): ([^\n]*)`)

// short keeps the first words of a complaint.
func short(text []byte) string {
	words := strings.Fields(string(text))
	return strings.TrimRight(strings.Join(words[:min(len(words), 3)], " "), ",:;")
}

// fit reports every edit whose text is not found exactly once.
func fit(list []mutant) error {
	var wrong []error
	for _, m := range list {
		if _, err := m.changed(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	return errors.Join(wrong...)
}

// changed returns the text of each file with the bug in it.
func (m *mutant) changed() (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has the text %d times, want once: %q", e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// plant writes the changed files and the overlay that names them.
func (m *mutant) plant(dir string) (overlay string, err error) {
	changed, err := m.changed()
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range changed {
		real, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		planted := filepath.Join(dir, m.name+"-"+strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(planted, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[real] = planted
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, m.name+".json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// run runs the program. failed tells that a test did not pass; err that it could
// not be run.
func (b *built) run(ctx context.Context, args ...string) (out []byte, failed bool, err error) {
	cmd := exec.CommandContext(ctx, b.binary, append(args, "-test.timeout=5m")...) //nolint:gosec // built just now
	cmd.Dir = b.pkg
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	if err == nil {
		return text.Bytes(), false, nil
	}
	if _, exited := errors.AsType[*exec.ExitError](err); exited && ctx.Err() == nil {
		return text.Bytes(), true, nil
	}
	return text.Bytes(), false, err
}
