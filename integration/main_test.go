package integration_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a test waits for what has no limit of its own.
const patience = 30 * time.Second

// scratch is the folder of this run: the program and the home of its processes.
var scratch string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "replicator-integration-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)                      //nolint:errcheck // the system cleans its temp folder as well
	if err := os.Chmod(scratch, 0o755); err != nil { // one test runs the program as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if dir, err := os.MkdirTemp("/dev/shm", "replicator-test-"); err == nil { // for the tickets of clean stops
		defer os.RemoveAll(dir) //nolint:errcheck // it is in memory
		if err := os.Setenv("XDG_RUNTIME_DIR", dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left:", err)
			return 1
		}
	}
	return code
}

// build makes the program once, as a user would: without -race.
// REPLICATOR_PROGRAM names one that is there already.
var build = sync.OnceValues(func() (string, error) {
	if there := os.Getenv("REPLICATOR_PROGRAM"); there != "" {
		return there, nil
	}
	path := filepath.Join(scratch, "replicator")
	out, err := exec.Command("go", "build", "-o", path, "replicator/cmd/replicator").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func program(tb testing.TB) string {
	tb.Helper()
	path, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// cleanEnv is the environment of a machine on which nothing of NATS or of ours
// is set up.
func cleanEnv(extra ...string) []string {
	env := []string{"HOME=" + scratch, "XDG_CONFIG_HOME=" + filepath.Join(scratch, "config"), "NO_COLOR=1"}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "NATS_"), strings.HasPrefix(name, "REPLICATOR_"):
		case name == "HOME", name == "XDG_CONFIG_HOME", name == "NO_COLOR":
		default:
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}

// long reports whether the heavy variants were asked for.
func long() bool { return os.Getenv("REPLICATOR_LONG") == "1" }

// await polls until cond is content and returns how long that took.
func await(tb testing.TB, limit time.Duration, what string, cond func() error) time.Duration {
	tb.Helper()
	begun := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		took := time.Since(begun)
		if err == nil {
			return took
		}
		if took > limit {
			tb.Fatalf("not within %v: %s: %v", limit, what, err)
		}
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatalf("test ended while waiting: %s: %v", what, err)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

var errNotYet = errors.New("not yet")

func errMissing(words []string, text string) error {
	return fmt.Errorf("no line with %q in %s", words, clip(text))
}
