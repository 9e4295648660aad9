package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// A measure is one figure that a run gives.
type measure struct {
	name   string // key of a run's values
	what   string
	unit   string
	better string
	goals  map[string]float64 // by kind of the contestant that ours is compared with
}

// A contestant does a workload once, in an empty folder.
type contestant struct {
	kind, name string
	run        func(ctx context.Context, dir string) (values, error)
}

// values are what a run measured, by the name of the measure. One that is missing is
// none of this contestant's.
type values map[string]float64

// A workload is what all contestants do in turn.
type workload struct {
	name        string
	durability  string
	ready       func(ctx context.Context, dir string) (close func() error, err error) // what all runs use; may be nil
	contestants []contestant
	measures    []measure
}

// A runner carries out workloads.
type runner struct {
	Options
	dir    string // of this run
	prefix string // first token of all subjects on a server of others
}

// A LeftError reports a folder that could not be removed.
type LeftError struct {
	Dir string
	Err error
}

func (e *LeftError) Error() string { return fmt.Sprintf("data is left in %s: %v", e.Dir, e.Err) }

func (e *LeftError) Unwrap() error { return e.Err }

// Run measures. It removes all that it wrote before it returns, also when ctx ends.
func Run(ctx context.Context, o Options) (_ Report, err error) {
	o, err = o.checked()
	if err != nil {
		return Report{}, err
	}
	r := &runner{Options: o}
	if r.dir, err = os.MkdirTemp(o.Dir, "replicator-bench-"); err != nil {
		return Report{}, err
	}
	defer func() {
		if left := os.RemoveAll(r.dir); left != nil {
			err = errors.Join(err, &LeftError{Dir: r.dir, Err: left})
		}
	}()
	r.prefix = o.Prefix + "." + filepath.Base(r.dir)
	rep := Report{Version: 1, Machine: machine(r.dir), Settings: r.settings()}
	list := r.workloads()
	step := Step{Of: r.steps(list)}
	for i := range list {
		rows, err := r.measure(ctx, &list[i], &step)
		if err != nil {
			return Report{}, err
		}
		rep.Rows = append(rep.Rows, rows...)
	}
	rep.Machine.LoadAfter = load()
	return rep, nil
}

func (r *runner) settings() Settings {
	s := Settings{
		Rounds: r.Rounds, Keys: r.Keys, ValueSize: r.ValueSize, Writers: r.Writers, Masters: r.Masters,
		Seconds: r.Time.Seconds(), Server: "embedded",
	}
	if r.Connect != nil {
		s.Server = "external"
	}
	return s
}

func (r *runner) steps(list []workload) (n int) {
	for _, w := range list {
		n += 1 + r.Rounds*len(w.contestants)
	}
	return n
}

// measure has all contestants do the workload, round after round.
func (r *runner) measure(ctx context.Context, w *workload, step *Step) (_ []Row, err error) {
	title := w.name
	if w.durability != "" {
		title += ", " + w.durability
	}
	tell := func(round int, contestant string) {
		step.Number++
		step.Round, step.Workload, step.Contestant = round, title, contestant
		r.Progress(*step)
	}
	tell(0, "")
	if w.ready != nil {
		dir := filepath.Join(r.dir, "ready")
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, err
		}
		var end func() error
		if end, err = w.ready(ctx, dir); err != nil {
			return nil, fmt.Errorf("%s: %w", title, interrupted(ctx, err))
		}
		defer func() { err = errors.Join(err, end(), os.RemoveAll(dir)) }()
	}
	found := make([][]values, len(w.contestants))
	for round := range r.Rounds {
		for i, c := range w.contestants {
			tell(round+1, c.name)
			v, err := r.once(ctx, c)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", title, c.name, interrupted(ctx, err))
			}
			found[i] = append(found[i], v)
		}
	}
	return w.rows(found), nil
}

// interrupted is why ctx ended, if it has, for what follows from that is no news.
func interrupted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// once runs a contestant in a folder of its own, on a heap without the last one's.
func (r *runner) once(ctx context.Context, c contestant) (_ values, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	dir, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	runtime.GC()
	return c.run(ctx, dir)
}

// rows sums up what was found, a row for each measure.
func (w *workload) rows(found [][]values) []Row {
	var rows []Row
	for _, m := range w.measures {
		row := Row{Workload: w.name, Durability: w.durability, What: m.what, Unit: m.unit, Better: m.better}
		if m.name != "" {
			row.Workload += "-" + m.name
		}
		for i, c := range w.contestants {
			list := Contestant{Kind: c.kind, Name: c.name}
			for _, v := range found[i] {
				if value, ok := v[m.name]; ok {
					list.Values = append(list.Values, value)
				}
			}
			if len(list.Values) > 0 {
				list.sum()
				row.Contestants = append(row.Contestants, list)
			}
		}
		row.compare(m.goals)
		rows = append(rows, row)
	}
	return rows
}
