package syncer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"replicator/store"
	"replicator/sync/simnet"
)

// TestTranscripts runs the scenarios in testdata: what is done to a fleet, and
// what its nodes say to each other because of it. Run with -rewrite to write
// down what they say now, and read the difference.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		stage := &stage{}
		datadriven.RunTest(t, path, stage.run)
	})
}

type stage struct {
	w    *simnet.World
	said []string
}

func (s *stage) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	s.said = nil
	if d.Cmd == "fleet" {
		s.build(t, d)
		return s.text()
	}
	for _, line := range append([]string{d.Cmd + " " + args(d)}, strings.Split(d.Input, "\n")...) {
		if f := strings.Fields(line); len(f) > 0 {
			s.do(t, f)
		}
	}
	return s.text()
}

func args(d *datadriven.TestData) string {
	var list []string
	for _, a := range d.CmdArgs {
		list = append(list, a.Key)
	}
	return strings.Join(list, " ")
}

// build makes a fleet without faults; the nodes are started one by one.
func (s *stage) build(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	var n int
	d.ScanArgs(t, "nodes", &n)
	cfg := simnet.Config{Nodes: n, Buckets: []string{"orders"}, DelayMax: time.Millisecond}
	var small bool
	d.MaybeScanArgs(t, "small", &small)
	if small {
		cfg.Tune = func(n *simnet.Node) {
			n.Options.PageBytes, n.Options.Window, n.Options.CutBytes = 300, 600, 500
			n.Options.LogOrderMax, n.Options.CompareAbove = 3, 1
		}
	}
	s.w = simnet.NewWorld(1, cfg)
	s.w.Trace = func(line string) { s.said = append(s.said, line) }
}

func (s *stage) do(t *testing.T, f []string) {
	t.Helper()
	switch f[0] {
	case "start":
		for _, name := range f[1:] {
			s.node(name).Start()
		}
	case "crash":
		s.node(f[1]).Crash()
	case "put":
		s.node(f[1]).Write("orders", store.Op{Key: []byte(f[2]), Value: []byte(f[3])})
	case "del":
		s.node(f[1]).Write("orders", store.Op{Key: []byte(f[2]), Delete: true})
	case "fill":
		for i := range 20 {
			s.node(f[1]).Write("orders", store.Op{Key: fmt.Appendf(nil, "%s-%02d", f[2], i), Value: []byte(strings.Repeat("x", 40))})
		}
	case "collect":
		s.node(f[1]).Collect("orders")
	case "backup":
		s.node(f[1]).Backup()
	case "restore":
		s.node(f[1]).Restore()
	case "part":
		s.w.Part(index(f[1]), index(f[2]))
	case "cut":
		s.w.Cut(index(f[1]), index(f[2]))
	case "heal":
		s.w.Heal()
	case "run":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		s.w.Run(d)
	case "rows":
		s.rows(t, f[1])
	case "clock":
		b, _ := s.node(f[1]).Store().Bucket("orders")
		s.said = append(s.said, fmt.Sprintf("clock of %s: %v ahead %v", f[1], b.Clock(), b.Ahead()))
	case "check":
		if err := s.w.AtRest(); err != nil {
			t.Error(err)
		}
		s.said = append(s.said, "all equal")
	case "quietly":
		s.do(t, f[1:])
		s.said = nil
	default:
		t.Fatalf("unknown command %q", f[0])
	}
}

func (s *stage) rows(t *testing.T, name string) {
	t.Helper()
	b, _ := s.node(name).Store().Bucket("orders")
	for e, err := range b.Scan(store.ScanOptions{Now: s.w.Now()}) {
		if err != nil {
			t.Fatal(err)
		}
		s.said = append(s.said, fmt.Sprintf("%s: %s = %s", name, e.Key, e.Value))
	}
}

func (s *stage) text() string {
	if len(s.said) == 0 {
		return "(nothing)\n"
	}
	return strings.Join(s.said, "\n") + "\n"
}

func index(name string) int { return int(name[0] - 'a') }

func (s *stage) node(name string) *simnet.Node { return s.w.Node(index(name)) }
