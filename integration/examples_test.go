package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"replicator/api"
)

// An example is one of the programs in examples/, in one of its roles. Several share
// a folder, as those who try them out do.
type example struct {
	tb   testing.TB
	path string
	dir  string
	url  string
	args []string
	said *logbook
	proc *process
}

// buildExample makes the program of a folder of examples/.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	out, err := exec.Command("go", "build", "-o", path, "replicator/examples/"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func (e example) start(args ...string) *example {
	e.tb.Helper()
	e.args = args
	e.again()
	return &e
}

// again starts it, with a log of its own.
func (e *example) again() {
	e.tb.Helper()
	cmd := exec.Command(e.path, e.args...)
	e.said = &logbook{}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = e.dir, cleanEnv("NATS_URL="+e.url), e.said, e.said
	e.proc = spawn(e.tb, cmd)
}

// stop ends it as Ctrl-C does.
func (e *example) stop() {
	e.tb.Helper()
	e.proc.signal(e.tb, syscall.SIGINT)
	if code := e.proc.wait(e.tb, patience); code != 0 {
		e.tb.Errorf("%v ended with code %d: %s", e.args, code, e.said.tail(5))
	}
}

// lines are those it has printed to their ends.
func (e *example) lines() []string {
	all := strings.Split(e.said.String(), "\n")
	return all[:len(all)-1]
}

func (e *example) await(what string, enough func(lines []string) bool) {
	e.tb.Helper()
	await(e.tb, 2*time.Minute, fmt.Sprint(e.args, ": ", what), func() error {
		if lines := e.lines(); !enough(lines) {
			return fmt.Errorf("it said %s", e.said.tail(3))
		}
		return nil
	})
}

// behind leaves out the lines that were there before.
func behind(e *example, enough func(lines []string) bool) func([]string) bool {
	had := len(e.lines())
	return func(lines []string) bool { return enough(lines[had:]) }
}

var readLine = regexp.MustCompile(`^counter = (\d+), says (\w+)$`)

// answers are the newest count that each node has told.
func answers(lines []string) map[string]int {
	newest := map[string]int{}
	for _, line := range lines {
		if m := readLine.FindStringSubmatch(line); m != nil {
			newest[m[2]], _ = strconv.Atoi(m[1])
		}
	}
	return newest
}

// TestMasterInTheMiddle: all three answer readers; replicas go on without the master,
// which goes on where it was; a replica that was killed catches up.
func TestMasterInTheMiddle(t *testing.T) {
	t.Parallel()
	e := example{tb: t, path: buildExample(t, "master-in-the-middle"), dir: t.TempDir(), url: startBroker(t).url()}
	master, r1, r2, reader := e.start("master"), e.start("replica", "r1"), e.start("replica", "r2"), e.start("read")
	all := func(lines []string) bool {
		told := answers(lines)
		return told["master"] > 0 && told["r1"] > 0 && told["r2"] > 0
	}
	reader.await("all answer", all)

	master.proc.kill(t)
	wrote := counted(master.lines())
	reader.await("both replicas answer with what it wrote", behind(reader, func(lines []string) bool {
		told := answers(lines)
		return told["r1"] >= wrote-1 && told["r2"] >= wrote-1 // the last may be on its disk alone
	}))
	r1.proc.kill(t)
	master.again()
	reader.await("the other replica has what the master writes now", behind(reader, func(lines []string) bool {
		told := answers(lines)
		return told["r2"] > wrote && told["master"] > wrote
	}))
	if first := master.lines()[0]; first != fmt.Sprint("wrote ", wrote+1) && first != fmt.Sprint("wrote ", wrote+2) {
		t.Errorf("it was at %d and goes on with: %s", wrote, first) // one may have been written and not told
	}
	wrote = counted(master.lines())
	r1.again()
	reader.await("the replica has caught up", behind(reader, func(lines []string) bool { return answers(lines)["r1"] >= wrote }))
	if !strings.Contains(r1.said.String(), "follows, with 1 keys from before") {
		t.Errorf("it lost what it had: %s", r1.said.tail(3))
	}
	for _, p := range []*example{reader, r1, r2, master} {
		p.stop()
	}
}

// counted is the last that the master says it wrote.
func counted(lines []string) (n int) {
	for _, line := range lines {
		_, _ = fmt.Sscanf(line, "wrote %d", &n)
	}
	return n
}

// TestSlaveInTheMiddle: shops and the centre are killed and come back; in the end the
// centre says what all sales make, and so it does after a start from its disk alone.
func TestSlaveInTheMiddle(t *testing.T) {
	t.Parallel()
	const sales = 60
	url := startBroker(t).url()
	e := example{tb: t, path: buildExample(t, "slave-in-the-middle"), dir: t.TempDir(), url: url}
	centre := e.start("centre")
	var shops []*example
	for _, name := range []string{"shop-1", "shop-2", "shop-3"} {
		shops = append(shops, e.start(name, strconv.Itoa(sales)))
	}
	sold := func(n int) func([]string) bool {
		return func(lines []string) bool { return len(lines) > 0 && salesIn(lines[len(lines)-1]) >= n }
	}
	shops[0].await("some are sold", sold(10))
	shops[0].proc.kill(t)
	shops[1].await("some are sold", sold(15))
	centre.proc.kill(t)
	before := salesIn(shops[0].lines()[len(shops[0].lines())-1])
	shops[0].again()
	shops[0].await("it has started", sold(0))
	if got := salesIn(shops[0].lines()[0]); got != before && got != before+1 {
		t.Errorf("it was at %d sales and goes on at %d", before, got)
	}
	shops[2].await("some are sold", sold(20))
	shops[2].stop()
	shops[2].again()
	centre.again()
	for _, shop := range shops {
		shop.await("all are sold", sold(sales))
	}
	centre.await("it has all", func(lines []string) bool {
		return len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], fmt.Sprintf("3 shops: %d sales", 3*sales))
	})
	export := replicator(t, "export", "--server", url, "--node", "centre").ok(t)
	want := fmt.Sprintf("3 shops: %d sales make %d", 3*sales, takings(t, export.text(), 3*sales))
	if got := centre.said.tail(1); !strings.HasSuffix(got, want) {
		t.Errorf("the centre says %s, want %s", got, want)
	}
	for _, shop := range shops {
		shop.stop()
	}
	centre.stop()
	centre.again()
	centre.await("a total", func(lines []string) bool { return len(lines) > 0 })
	if got := centre.lines()[0]; got != want {
		t.Errorf("after a start the centre says %s, want %s", got, want)
	}
	centre.stop()
	if entries, err := os.ReadDir(filepath.Join(e.dir, "slave-in-the-middle-data")); err != nil || len(entries) != 4 {
		t.Errorf("%v, %v", entries, err)
	}
}

func salesIn(line string) int {
	n := -1
	_, _ = fmt.Sscanf(line, "%d sales", &n)
	return n
}

// takings is what the sales in an export make. There must be so many.
func takings(t *testing.T, export string, sales int) (sum int) {
	t.Helper()
	count := 0
	for line := range strings.Lines(export) {
		r, err := api.ParseRecord([]byte(line))
		must(t, err)
		if strings.Contains(string(r.Key), "/sales/") {
			price, err := strconv.Atoi(string(r.Value))
			must(t, err)
			count, sum = count+1, sum+price
		}
	}
	if count != sales {
		t.Errorf("%d sales, want %d", count, sales)
	}
	return sum
}

// TestTwoMasters: the second answers what the first counts, after a kill, too.
func TestTwoMasters(t *testing.T) {
	t.Parallel()
	url := startBroker(t).url()
	master := func(n int) *example {
		name := fmt.Sprint("master-", n)
		return example{tb: t, path: buildExample(t, name), dir: t.TempDir(), url: url}.start()
	}
	shows := func(format string) func([]string) bool {
		return func(lines []string) bool {
			return slices.ContainsFunc(lines, func(line string) bool {
				var n int
				_, err := fmt.Sscanf(line, format, &n)
				return err == nil
			})
		}
	}
	one, two := master(1), master(2)
	one.await("it shows an answer", shows("master-2/answer = saw %d"))
	two.await("it shows a count", shows("master-1/counter = %d"))
	two.proc.kill(t)
	two.again()
	one.await("it shows an answer to what came since", behind(one, shows("master-2/answer = saw %d")))
	two.await("it shows a count again", shows("master-1/counter = %d"))
	one.stop()
	two.stop()
}
