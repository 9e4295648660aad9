package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A meter shows how far a transfer has come, if somebody looks at a terminal.
type meter struct {
	all *mpb.Progress
	bar *mpb.Bar
}

// newMeter starts a bar over total bytes or keys; 0 or less: nobody knows how
// many. It draws on w alone, and only if that is a terminal.
func newMeter(w io.Writer, name string, total int64, count decor.Decorator) *meter {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &meter{}
	}
	all := mpb.New(mpb.WithOutput(f), mpb.WithWidth(60))
	bar := all.AddBar(max(total, 0),
		mpb.PrependDecorators(decor.Name(name+" "), count),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return &meter{all: all, bar: bar}
}

func (m *meter) add(n int) {
	if m.bar != nil {
		m.bar.IncrBy(n)
	}
}

// close draws the bar for the last time. It may be called twice.
func (m *meter) close() {
	if m.bar != nil {
		m.bar.SetTotal(-1, true)
		m.all.Wait()
		m.bar = nil
	}
}
