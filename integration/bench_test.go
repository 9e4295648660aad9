package integration_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A benchReport is what others may read from bench --json.
type benchReport struct {
	V       int `json:"v"`
	Machine struct {
		OS    string `json:"os"`
		Cores int    `json:"cores"`
		Go    string `json:"go"`
	} `json:"machine"`
	Settings struct {
		Rounds    int    `json:"rounds"`
		Keys      int    `json:"keys"`
		ValueSize int    `json:"value_size"`
		Writers   int    `json:"writers"`
		Server    string `json:"server"`
	} `json:"settings"`
	Rows []struct {
		Workload    string `json:"workload"`
		Durability  string `json:"durability"`
		What        string `json:"what"`
		Unit        string `json:"unit"`
		Better      string `json:"better"`
		Contestants []struct {
			Kind   string    `json:"kind"`
			Name   string    `json:"name"`
			Median float64   `json:"median"`
			Min    float64   `json:"min"`
			Max    float64   `json:"max"`
			Values []float64 `json:"values"`
		} `json:"contestants"`
		Ratios []struct {
			To    string  `json:"to"`
			Value float64 `json:"value"`
			Goal  float64 `json:"goal"`
			Met   *bool   `json:"met"`
		} `json:"ratios"`
	} `json:"rows"`
}

// check looks at what every row has to have, and returns which workloads there are, each
// with the kinds of its contestants.
func (rep *benchReport) check(t *testing.T, rounds int) map[string]string {
	t.Helper()
	if rep.V != 1 || rep.Machine.OS == "" || rep.Machine.Cores < 1 || rep.Machine.Go == "" || rep.Settings.Rounds != rounds {
		t.Errorf("report %d of %+v, %+v", rep.V, rep.Machine, rep.Settings)
	}
	kinds := map[string]string{}
	for _, row := range rep.Rows {
		name := strings.TrimSuffix(row.Workload+" "+row.Durability, " ")
		if row.What == "" || row.Unit == "" || row.Better != "more" && row.Better != "less" {
			t.Errorf("%s: %+v", name, row)
		}
		known := map[string]float64{}
		for _, c := range row.Contestants {
			if len(c.Values) != rounds || !(0 < c.Min && c.Min <= c.Median && c.Median <= c.Max) {
				t.Errorf("%s, %s: %+v", name, c.Name, c)
			}
			if known[c.Name] = c.Median; !strings.Contains(kinds[name], c.Kind) {
				kinds[name] += c.Kind + ","
			}
		}
		if len(row.Contestants) > 1 && len(row.Ratios) == 0 {
			t.Errorf("%s: no ratio", name)
		}
		for _, r := range row.Ratios {
			want := row.Contestants[0].Median / known[r.To]
			if d := r.Value - want; d < -0.001 || d > 0.001 {
				t.Errorf("%s: ours is %v of %s, not %v", name, want, r.To, r.Value)
			}
			if (r.Goal != 0) != (r.Met != nil) {
				t.Errorf("%s: a goal of %v, met: %v", name, r.Goal, r.Met)
			}
			if r.Met != nil && *r.Met != (row.Better == "more" && r.Value >= r.Goal || row.Better == "less" && r.Value <= r.Goal) {
				t.Errorf("%s: %v with a goal of %v is met: %v", name, r.Value, r.Goal, *r.Met)
			}
		}
	}
	return kinds
}

func TestBenchMeasuresEveryContestant(t *testing.T) {
	dir := t.TempDir()
	r := replicator(t, "bench", "--quick", "--json", "--dir", dir).ok(t)
	rep := decode[benchReport](t, r)
	kinds := rep.check(t, 1)
	all := "ours,bare loop,JetStream KV,raw,"
	for workload, want := range map[string]string{
		"initial": all, "initial-batches": "ours,bare loop,", "live sync": all, "live interval": all, "live-cpu sync": all,
		"live-cpu interval": all, "live-both interval": "ours,bare loop,", "live-one sync": all, "propagation sync": all,
		"propagation interval": all, "handshake-2": "ours,raw,", "handshake-2-bytes": "ours,", "handshake-50": "ours,raw,",
	} {
		if kinds[workload] != want {
			t.Errorf("%s: %q, want %q", workload, kinds[workload], want)
		}
	}
	if rep.Settings.Server != "embedded" || rep.Settings.Writers != 64 || rep.Settings.ValueSize != 100 {
		t.Errorf("%+v", rep.Settings)
	}
	if r.stderr != "" {
		t.Errorf("without a terminal it shows %q", r.stderr)
	}
	empty(t, dir)
}

// TestBenchTakesWhatIsAskedFor also runs over a NATS server that is there.
func TestBenchTakesWhatIsAskedFor(t *testing.T) {
	hub, dir := startBroker(t), t.TempDir()
	r := replicator(t, "bench", "--quick", "--json", "--dir", dir, "--server", hub.url(), "--only", "live,propagation", "--durability", "interval",
		"--rounds", "2", "--writers", "3", "--value-size", "10")
	rep := decode[benchReport](t, r.ok(t))
	kinds := rep.check(t, 2)
	if len(kinds) != 3 || kinds["live interval"] == "" || kinds["live-cpu interval"] == "" || kinds["propagation interval"] == "" {
		t.Errorf("rows %v", kinds)
	}
	if s := rep.Settings; s.Server != "external" || s.Writers != 3 || s.ValueSize != 10 {
		t.Errorf("%+v", s)
	}
	r = replicator(t, "bench", "--quick", "--dir", dir, "--only", "handshake", "--masters", "3", "--markdown").ok(t)
	for _, want := range []string{"| work | unit | ours |", "| handshake with nothing missing, 3 masters, p50 | us |"} {
		if !strings.Contains(string(r.stdout), want) {
			t.Errorf("no %q in %s", want, r.stdout)
		}
	}
	empty(t, dir)
}

func TestInterruptedBenchLeavesNothing(t *testing.T) {
	for workload, data := range map[string]string{"initial": "ready/ours/donor/*.sst", "live": "run-*/b/*.log"} {
		t.Run(workload, func(t *testing.T) {
			dir := t.TempDir()
			var shown logbook
			cmd := commandOf(t, "bench", "--only", workload, "--dir", dir)
			cmd.Stderr = &shown
			p := spawn(t, cmd)
			await(t, patience, "there is data", func() error {
				if files, err := filepath.Glob(filepath.Join(dir, "replicator-bench-*", data)); len(files) == 0 {
					return errors.Join(err, errNotYet)
				}
				return nil
			})
			p.signal(t, syscall.SIGINT)
			if code := p.wait(t, stopLimit); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			plainLine(t, shown.String(), workload, "interrupted", "nothing is left")
			empty(t, dir)
		})
	}
}

// empty fails the test if there is anything in a folder.
func empty(tb testing.TB, dir string) {
	tb.Helper()
	files, err := os.ReadDir(dir)
	must(tb, err)
	if len(files) > 0 {
		tb.Errorf("left in the folder: %v", files)
	}
}

func TestBenchRefusesWhatCannotBe(t *testing.T) {
	for args, words := range map[string][]string{
		"--only nonsense":                       {"--only", "nonsense", "initial, initial-batches, live"},
		"--durability fast":                     {"--durability", "fast", "sync, interval"},
		"--rounds 0":                            {"--rounds 0", "1 to 1000"},
		"--keys 5":                              {"--keys 5", "1000 to"},
		"--value-size 4":                        {"--value-size 4", "8 to"},
		"--writers=-1":                          {"--writers -1", "1 to"},
		"--masters 1":                           {"--masters 1", "2 to"},
		"--time 1ms":                            {"--time 1", "50 to"},
		"--json --markdown":                     {"--json", "--markdown"},
		"--only handshake --durability sync":    {"--durability", "handshake"},
		"--only live-one --durability interval": {"--durability", "live-one"},
	} {
		replicator(t, append([]string{"bench"}, strings.Fields(args)...)...).refused(t, exitUsage, words...)
	}
	missing := filepath.Join(t.TempDir(), "none")
	replicator(t, "bench", "--quick", "--dir", missing).refused(t, exitFailed, missing)
	replicator(t, "bench", "--quick", "--only", "live", "--server", "nats://"+freeAddress(t)).refused(t, exitFailed, "replicator serve")
}
