package integration_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The tour of the README is typed as it stands there: the lines behind `$ ` of
// its console blocks, in one shell, in order. What it shows has to come, where
// `...` stands for anything.
//
// A person pauses where the test cannot: it waits until a master that was
// started in the background is ready, and looks again for a while at what only
// reads.
func TestReadmeTour(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	must(t, err)
	steps := consoleSteps(string(readme))
	if len(steps) < 5 {
		t.Fatalf("%d steps in the README's console blocks", len(steps))
	}
	const address = "127.0.0.1:4222"
	if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err != nil {
		t.Skipf("the tour needs %s, which somebody has: %v", address, err)
	} else {
		must(t, l.Close())
	}
	sh := startShell(t)
	for _, s := range steps {
		s.take(t, sh, "README.md")
	}
	sh.leave()

	// What the tour left on disk is equal too.
	a := newNode(t, "a", "nats://"+address, "--listen", address)
	b := newNode(t, "b", a.url, "--server", a.url)
	for _, n := range []*node{a, b} {
		n.dir = filepath.Join(sh.dir, folderOf(steps, n.name))
		n.start()
	}
	converged(t, soon, a, b)
}

// TestAPITour types docs/api.md in the same way, with free ports in the place of
// those it shows.
func TestAPITour(t *testing.T) {
	tool(t, "curl", "install curl to have the tour typed")
	page, err := os.ReadFile("../docs/api.md")
	must(t, err)
	ports := strings.NewReplacer("127.0.0.1:8080", freeAddress(t), "127.0.0.1:4222", freeAddress(t))
	steps := consoleSteps(ports.Replace(string(page)))
	if len(steps) < 20 {
		t.Fatalf("%d steps in the console blocks", len(steps))
	}
	sh := startShell(t)
	for _, s := range steps {
		s.take(t, sh, "docs/api.md")
	}
	sh.leave()
}

// folderOf is where the tour has a node keep its data.
func folderOf(steps []step, name string) string {
	for _, s := range steps {
		node, data := nodeFlag.FindStringSubmatch(s.typed), dataFlag.FindStringSubmatch(s.typed)
		if node != nil && node[1] == name && data != nil {
			return data[1]
		}
	}
	return "replicator-data"
}

// A step is a line that is typed and what is shown after it.
type step struct {
	line   int
	typed  string
	expect []string
}

func consoleSteps(text string) (steps []step) {
	inside := false
	for i, line := range strings.Split(text, "\n") {
		typed, isTyped := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case isTyped:
			steps = append(steps, step{line: i + 1, typed: typed})
		case len(steps) > 0:
			last := &steps[len(steps)-1]
			last.expect = append(last.expect, line)
		}
	}
	return steps
}

var (
	nodeFlag  = regexp.MustCompile(`--node[ =](\S+)`)
	dataFlag  = regexp.MustCompile(`--data[ =](\S+)`)
	onlyReads = regexp.MustCompile(`^replicator (get|ls|verify|status|export)\b`)
)

func (s step) take(tb testing.TB, sh *shell, page string) {
	tb.Helper()
	limit := time.Duration(0)
	if onlyReads.MatchString(s.typed) {
		limit = soon
	}
	await(tb, limit+time.Millisecond, fmt.Sprintf("%s:%d: %s", page, s.line, s.typed), func() error {
		out, code := sh.run(tb, s.typed)
		if code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		if !s.matches(out) {
			return fmt.Errorf("printed %q, the page has %q", out, strings.Join(s.expect, "\n"))
		}
		return nil
	})
	if node := nodeFlag.FindStringSubmatch(s.typed); node != nil && strings.HasSuffix(s.typed, "&") && !strings.Contains(s.typed, "--http") {
		await(tb, patience, node[1]+" is ready", func() error {
			if out, code := sh.run(tb, "replicator status --node "+node[1]); code != 0 {
				return errors.New(out)
			}
			return nil
		})
	}
}

func (s step) matches(out string) bool {
	pattern := regexp.QuoteMeta(strings.Join(s.expect, "\n"))
	pattern = strings.ReplaceAll(pattern, regexp.QuoteMeta("..."), ".*")
	return regexp.MustCompile(`(?s)^` + pattern + `$`).MatchString(strings.TrimRight(out, "\n"))
}

// A shell is bash in a folder of its own, with the program on its path.
type shell struct {
	dir  string
	in   io.WriteCloser
	out  *bufio.Reader
	proc *process
}

func startShell(tb testing.TB) *shell {
	tb.Helper()
	bash := tool(tb, "bash", "install bash to have the tour typed")
	sh := &shell{dir: tb.TempDir()}
	cmd := exec.Command(bash, "--norc")
	bin := tb.TempDir()
	must(tb, os.Symlink(program(tb), filepath.Join(bin, "replicator")))
	path := bin + string(os.PathListSeparator) + os.Getenv("PATH")
	cmd.Dir, cmd.Env = sh.dir, cleanEnv("PATH="+path)
	var err error
	sh.in, err = cmd.StdinPipe()
	must(tb, err)
	read, write, err := os.Pipe()
	must(tb, err)
	cmd.Stdout, cmd.Stderr = write, write
	sh.out, sh.proc = bufio.NewReader(read), spawn(tb, cmd)
	must(tb, write.Close())
	tb.Cleanup(func() { _ = read.Close() })
	tb.Cleanup(sh.leave) // before the kill, so that its jobs do not stay
	_, _ = io.WriteString(sh.in, "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n")
	return sh
}

const prompt = "=== exit code "

// run types a line and returns what was shown until it ended.
func (sh *shell) run(tb testing.TB, line string) (string, int) {
	tb.Helper()
	_, err := fmt.Fprintf(sh.in, "%s\nprintf '\\n%s%%d\\n' $?\n", line, prompt)
	must(tb, err)
	var shown strings.Builder
	for {
		got, err := sh.out.ReadString('\n')
		must(tb, err)
		if rest, ok := strings.CutPrefix(got, prompt); ok {
			var code int
			_, err := fmt.Sscan(rest, &code)
			must(tb, err)
			return strings.TrimSuffix(shown.String(), "\n"), code
		}
		shown.WriteString(strings.ReplaceAll(got, "\r\n", "\n")) // curl shows headers as they came
	}
}

// leave ends the shell and the jobs it started.
func (sh *shell) leave() {
	_ = sh.in.Close()
	<-sh.proc.done
}
