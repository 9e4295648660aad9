package bench

import (
	"math"
	"slices"
)

// The kinds of contestants.
const (
	Ours      = "ours"
	BareLoop  = "bare loop"
	JetStream = "JetStream KV"
	Raw       = "raw"
)

// A Report is what a run found. It is what --json prints.
type Report struct {
	Version  int      `json:"v"`
	Machine  Machine  `json:"machine"`
	Settings Settings `json:"settings"`
	Rows     []Row    `json:"rows"`
}

// Settings are the options of a run, after defaults.
type Settings struct {
	Rounds    int     `json:"rounds"`
	Keys      int     `json:"keys"`
	ValueSize int     `json:"value_size"`
	Writers   int     `json:"writers"`
	Masters   int     `json:"masters"`
	Seconds   float64 `json:"seconds"`
	Server    string  `json:"server"` // embedded, or external
}

// A Row is one measure of one workload.
type Row struct {
	Workload    string       `json:"workload"`
	Durability  string       `json:"durability,omitempty"`
	What        string       `json:"what"` // for people
	Unit        string       `json:"unit"`
	Better      string       `json:"better"` // more, less
	Contestants []Contestant `json:"contestants"`
	Ratios      []Ratio      `json:"ratios"`
}

// A Contestant is how one did.
type Contestant struct {
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"` // by round
}

// A Ratio is ours to that of another, of the medians.
type Ratio struct {
	To    string  `json:"to"` // name of the contestant
	Value float64 `json:"value"`
	Goal  float64 `json:"goal,omitempty"` // zero: there is none
	Met   *bool   `json:"met,omitempty"`
}

func (c *Contestant) sum() {
	sorted := slices.Sorted(slices.Values(c.Values))
	c.Median, c.Min, c.Max = median(sorted), sorted[0], sorted[len(sorted)-1]
}

// median takes values in order.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// compare makes the ratios of a row: ours to the first of each other kind.
func (r *Row) compare(goals map[string]float64) {
	r.Ratios = []Ratio{}
	ours := r.first(Ours)
	if ours == nil {
		return
	}
	for _, kind := range []string{BareLoop, JetStream, Raw} {
		c := r.first(kind)
		if c == nil || c.Median == 0 {
			continue
		}
		ratio := Ratio{To: c.Name, Value: math.Round(1000*ours.Median/c.Median) / 1000, Goal: goals[kind]}
		if ratio.Goal != 0 {
			ratio.Met = new(ratio.Value >= ratio.Goal)
			if r.Better == less {
				ratio.Met = new(ratio.Value <= ratio.Goal)
			}
		}
		r.Ratios = append(r.Ratios, ratio)
	}
}

func (r *Row) first(kind string) *Contestant {
	for i := range r.Contestants {
		if r.Contestants[i].Kind == kind {
			return &r.Contestants[i]
		}
	}
	return nil
}

// ratio is the row's to a kind.
func (r *Row) ratio(kind string) *Ratio {
	c := r.first(kind)
	for i := range r.Ratios {
		if c != nil && r.Ratios[i].To == c.Name {
			return &r.Ratios[i]
		}
	}
	return nil
}

const (
	more = "more"
	less = "less"
)
