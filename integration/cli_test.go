package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The exit codes that others script against.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitNotFound  = 3
	exitBehind    = 4
	exitDivergent = 5
)

// A result is what a command left.
type result struct {
	args   []string
	stdout []byte
	stderr string
	code   int
}

// commandLimit is how long any one client command may take.
const commandLimit = 5 * time.Minute

// replicator runs the program to its end.
func replicator(tb testing.TB, args ...string) result {
	tb.Helper()
	return replicatorIn(tb, nil, args...)
}

// replicatorIn also gives it something to read.
func replicatorIn(tb testing.TB, stdin io.Reader, args ...string) result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(tb), args...)
	cmd.Dir, cmd.Env, cmd.Stdin = scratch, cleanEnv(), stdin
	return finish(tb, cmd)
}

// commandOf is the program with args, not started.
func commandOf(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command(program(tb), args...)
	cmd.Dir, cmd.Env = scratch, cleanEnv()
	return cmd
}

// onHost makes cmd run on a host.
func onHost(host string, cmd *exec.Cmd) *exec.Cmd {
	if host == "" {
		return cmd
	}
	moved := exec.Command("ip", append([]string{"netns", "exec", host}, cmd.Args...)...)
	moved.Dir, moved.Env, moved.Stdin = cmd.Dir, cmd.Env, cmd.Stdin
	return moved
}

func finish(tb testing.TB, cmd *exec.Cmd) result {
	tb.Helper()
	endWithUs(cmd)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		tb.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return result{args: cmd.Args[1:], stdout: out.Bytes(), stderr: complaint.String(), code: cmd.ProcessState.ExitCode()}
}

func (r result) String() string {
	return "replicator " + clip(strings.Join(r.args, " ")) + ": exit " + strconv.Itoa(r.code) +
		", stdout " + clip(string(r.stdout)) + ", stderr " + clip(r.stderr)
}

// ok fails the test unless the command did what it was told.
func (r result) ok(tb testing.TB) result {
	tb.Helper()
	if r.code != exitDone {
		tb.Fatal(r)
	}
	return r
}

// text is stdout without the last newline.
func (r result) text() string { return strings.TrimRight(string(r.stdout), "\n") }

// refused fails the test unless the command ended with code and one plain line
// that has all the words.
func (r result) refused(tb testing.TB, code int, words ...string) {
	tb.Helper()
	if r.code != code {
		tb.Errorf("exit code %d wanted: %v", code, r)
	}
	plainLine(tb, r.stderr, words...)
}

// plainLine fails the test unless text is one line that a person understands.
func plainLine(tb testing.TB, text string, words ...string) {
	tb.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 1 || lines[0] == "" {
		tb.Errorf("one line wanted, got %d:\n%s", len(lines), text)
	}
	noTrace(tb, text)
	for _, word := range words {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(word)) {
			tb.Errorf("%q wanted in: %s", word, text)
		}
	}
}

// noTrace fails the test if a program showed its insides.
func noTrace(tb testing.TB, text string) {
	tb.Helper()
	for _, bad := range []string{"goroutine ", "panic:", "runtime error", "%!"} {
		if at := strings.Index(text, bad); at >= 0 {
			tb.Errorf("%q in: %s", bad, clip(text[at:]))
		}
	}
}

// decode reads the JSON a command printed.
func decode[T any](tb testing.TB, r result) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(r.stdout, &v); err != nil {
		tb.Fatalf("%v: %v", r, err)
	}
	return v
}

// clip keeps what a test prints short enough to read.
func clip(s string) string {
	const most = 600
	if len(s) > most {
		return s[:most/2] + " ... " + s[len(s)-most/2:]
	}
	return s
}
