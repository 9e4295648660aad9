package bench

import (
	"strings"
	"testing"
)

// found is what two rounds of two workloads gave.
func found() Report {
	w := workload{name: "live", durability: "sync", contestants: []contestant{
		{kind: Ours, name: "ours"}, {kind: BareLoop, name: "bare loop"}, {kind: BareLoop, name: "another loop"}, {kind: JetStream, name: "JetStream KV"},
	}, measures: []measure{
		{what: "live", unit: "keys/s", better: more, goals: map[string]float64{BareLoop: 0.8, JetStream: 10}},
		{name: "cpu", what: "CPU", unit: "us", better: less, goals: map[string]float64{BareLoop: 1.25}},
	}}
	rows := w.rows([][]values{
		{{"": 80_000, "cpu": 12.5}, {"": 100_000, "cpu": 12.5}, {"": 1}},
		{{"": 100_000, "cpu": 10}, {"": 100_000, "cpu": 10}, {"": 120_000, "cpu": 10}},
		{{"": 7}, {"": 7}, {"": 7}},
		{{"": 9_000}, {"": 8_000}, {"": 10_000}},
	})
	return Report{Version: 1, Rows: rows, Machine: Machine{Arch: "amd64", OS: "linux", Cores: 2, Go: "go1.26", LoadBefore: new(0.5), LoadAfter: new(1.25)}, Settings: Settings{Rounds: 3, ValueSize: 100, Server: "embedded"}}
}

func TestRatiosAreOfMediansAndToTheFirstOfAKind(t *testing.T) {
	rows := found().Rows
	speed, cpu := rows[0], rows[1]
	if ours := speed.first(Ours); ours.Median != 80_000 || ours.Min != 1 || ours.Max != 100_000 {
		t.Errorf("%+v", ours)
	}
	for _, want := range []struct {
		row   *Row
		kind  string
		value float64
		met   bool
	}{{&speed, BareLoop, 0.8, true}, {&speed, JetStream, 8.889, false}, {&cpu, BareLoop, 1.25, true}} {
		got := want.row.ratio(want.kind)
		if got == nil || got.Value != want.value || got.Met == nil || *got.Met != want.met {
			t.Errorf("%s to %s: %+v", want.row.What, want.kind, got)
		}
	}
	if len(cpu.Contestants) != 2 || len(cpu.Ratios) != 1 || cpu.Workload != "live-cpu" {
		t.Errorf("of those that measured it: %+v", cpu)
	}
	if got := median([]float64{1, 2, 4, 9}); got != 3 {
		t.Errorf("median of an even number: %v", got)
	}
}

func TestReportsCanBeRead(t *testing.T) {
	rep := found()
	for name, c := range map[string]struct {
		print func(*strings.Builder) error
		want  []string
	}{
		"table": {func(b *strings.Builder) error { return rep.Table(b) }, []string{
			"live  keys/s  80,000  100,000    9,000         -    0.80", ">= 0.8 met; >= 10 missed\n",
			"amd64, 2 cores, linux, go1.26; median of 3 rounds; values of 100 bytes; embedded NATS server; load average 0.50 before, 1.25 after\n",
		}},
		"markdown": {func(b *strings.Builder) error { return rep.Markdown(b) }, []string{
			"| live | keys/s | 80,000 | 100,000 | 9,000 | - | 0.80 | 8.89 | - | >= 0.8 met; >= 10 missed |\n",
			"| CPU | us | bare loop | 10 | 10 | 10 |\n",
		}},
		"plain": {func(b *strings.Builder) error { return rep.Plain(b) }, []string{
			"live\tsync\tanother loop\t7\t7\t7\tkeys/s\n", "live-cpu\tsync\tours / bare loop\t1.25\t<= 1.25 met\n",
		}},
	} {
		var b strings.Builder
		if err := c.print(&b); err != nil {
			t.Error(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, b.String())
			}
		}
	}
}

func TestNumbersHaveThreeDigitsThatCount(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.12345: "0.123", 1.2345: "1.23", 12.345: "12.3", 123.45: "123", 99.96: "100", 1234.5: "1,230", 1_234_567: "1,230,000",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is shown as %s, not %s", v, got, want)
		}
	}
}

// TestKeysAreNewAndAsLongAsTheySay: a key that comes twice would be another work.
func TestKeysAreNewAndAsLongAsTheySay(t *testing.T) {
	seen := map[string]bool{}
	r := &runner{Options: Defaults()}
	for i := range uint64(100_000) {
		k := key(i)
		if len(k) != 20 || seen[string(k)] || len(r.value(i)) != 100 {
			t.Fatalf("key %d is %q", i, k)
		}
		seen[string(k)] = true
	}
}
