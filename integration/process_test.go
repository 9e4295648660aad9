package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A process is a program of ours that runs in the background.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the process was waited for
	code int           // valid then; -1: ended by a signal
}

// spawn starts cmd and sees to it that it does not outlive the test.
func spawn(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	cmd.WaitDelay = 5 * time.Second // a grandchild may hold the output open
	endWithUs(cmd)
	must(tb, cmd.Start())
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the exit code says it
		p.code = cmd.ProcessState.ExitCode()
	}()
	tb.Cleanup(func() { p.kill(tb) })
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Fatalf("%v to %d: %v", s, p.pid(), err)
	}
}

// kill ends the process at once, as a power cut of it alone, and waits.
func (p *process) kill(tb testing.TB) {
	tb.Helper()
	p.signal(tb, os.Kill)
	<-p.done
}

// wait returns the exit code of a process that ends by itself within limit.
func (p *process) wait(tb testing.TB, limit time.Duration) int {
	tb.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(limit):
		tb.Fatalf("%s did not end within %v", strings.Join(p.cmd.Args, " "), limit)
		return 0
	}
}

// A logbook keeps what a process printed.
type logbook struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail is the last lines, for a test log that a person can still read.
func (l *logbook) tail(n int) string {
	lines := strings.Split(strings.TrimRight(l.String(), "\n"), "\n")
	if cut := len(lines) - n; cut > 0 {
		return fmt.Sprintf("(%d lines)\n", cut) + strings.Join(lines[cut:], "\n")
	}
	return strings.Join(lines, "\n")
}
