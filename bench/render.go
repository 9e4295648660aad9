package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Table prints the report for a person.
func (rep *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines := [][]string{columns}
	for i := range rep.Rows {
		lines = append(lines, rep.Rows[i].cells())
	}
	for _, cells := range lines {
		if _, err := io.WriteString(t, strings.Join(cells, "\t")+"\n"); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", rep.about())
	return err
}

// Markdown prints the tables of docs/performance.md.
func (rep *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", rep.about())
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for i := range rep.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(rep.Rows[i].cells(), " | "))
	}
	fmt.Fprint(&b, "\nEvery contestant, with the least and the most of the rounds:\n\n| work | unit | contestant | median | least | most |\n|---|---|---|---|---|---|\n")
	for i := range rep.Rows {
		r := &rep.Rows[i]
		for _, c := range r.Contestants {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.What, r.Unit, c.Name, number(c.Median), number(c.Min), number(c.Max))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Plain prints a line for each contestant, then one for each ratio, its fields apart by
// tabs.
func (rep *Report) Plain(w io.Writer) error {
	var b strings.Builder
	for i := range rep.Rows {
		r := &rep.Rows[i]
		for _, c := range r.Contestants {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Workload, r.Durability, c.Name, exact(c.Median), exact(c.Min), exact(c.Max), r.Unit)
		}
		for _, ratio := range r.Ratios {
			fmt.Fprintf(&b, "%s\t%s\tours / %s\t%s\t%s\n", r.Workload, r.Durability, ratio.To, exact(ratio.Value), ratio.goal(r.Better))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var columns = []string{"work", "unit", "ours", "bare loop", "JetStream KV", "raw", "to bare loop", "to JetStream KV", "to raw", "goal"}

func (r *Row) cells() []string {
	cells := []string{r.What, r.Unit}
	for _, kind := range []string{Ours, BareLoop, JetStream, Raw} {
		cell := "-"
		if c := r.first(kind); c != nil {
			cell = number(c.Median)
		}
		cells = append(cells, cell)
	}
	var goals []string
	for _, kind := range []string{BareLoop, JetStream, Raw} {
		cell := "-"
		if ratio := r.ratio(kind); ratio != nil {
			cell = strconv.FormatFloat(ratio.Value, 'f', 2, 64)
			if ratio.Goal != 0 {
				goals = append(goals, ratio.goal(r.Better))
			}
		}
		cells = append(cells, cell)
	}
	if goals == nil {
		goals = []string{"-"}
	}
	return append(cells, strings.Join(goals, "; "))
}

// goal says what the ratio is to be, and whether it is.
func (r *Ratio) goal(better string) string {
	if r.Goal == 0 {
		return "-"
	}
	sign, verdict := ">=", "met"
	if better == less {
		sign = "<="
	}
	if !*r.Met {
		verdict = "missed"
	}
	return fmt.Sprintf("%s %s %s", sign, exact(r.Goal), verdict)
}

// about says where the figures come from.
func (rep *Report) about() string {
	m, s := &rep.Machine, &rep.Settings
	where := m.Processor
	if where == "" {
		where = m.Arch
	}
	text := fmt.Sprintf("%s, %d cores, %s, %s; median of %d rounds; values of %d bytes; %s NATS server",
		where, m.Cores, m.OS, m.Go, s.Rounds, s.ValueSize, s.Server)
	if m.LoadBefore != nil && m.LoadAfter != nil {
		text += fmt.Sprintf("; load average %.2f before, %.2f after", *m.LoadBefore, *m.LoadAfter)
	}
	if m.InMemory {
		text += "; the data lies in memory, where an fsync costs nothing"
	}
	return text
}

// number is for people: three digits that count, and the thousands apart.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	scale := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	v = math.Round(v/scale) * scale
	if math.Abs(v) < 100 {
		return exact(v)
	}
	return count(int(math.Round(v)))
}

func exact(v float64) string { return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) }

func count(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
