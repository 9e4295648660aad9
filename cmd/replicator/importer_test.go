package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"replicator/api"
)

// A shelf takes loads into a map.
type shelf struct {
	mu      sync.Mutex // guards all below
	values  map[string]string
	loads   int
	refuse  int // so many loads are overloaded first
	failing error
}

func (s *shelf) Load(_ context.Context, _ string, body []byte, o api.LoadOptions) (api.LoadResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return api.LoadResult{}, s.failing
	}
	if s.refuse > 0 {
		s.refuse--
		return api.LoadResult{}, api.ErrOverloaded
	}
	s.loads++
	res := api.LoadResult{Node: "a"}
	i := 0
	for line := range bytes.Lines(body) {
		r, err := api.ParseRecord(line)
		switch {
		case err != nil:
			return res, err
		case string(r.Key) == "refused":
			res.Errors = append(res.Errors, api.LoadError{Index: i, Error: api.ErrTooLarge})
		default:
			old, ok := s.values[string(r.Key)]
			if ok && old == string(r.Value) && o.SkipUnchanged {
				res.Unchanged++
			} else {
				s.values[string(r.Key)] = string(r.Value)
				res.Written++
			}
		}
		i++
	}
	return res, nil
}

func (s *shelf) take(t *testing.T, text string, skipBad bool) (tally, []string, error) {
	t.Helper()
	if s.values == nil {
		s.values = map[string]string{}
	}
	im := newImporter(t.Context(), s, "default", api.LoadOptions{SkipUnchanged: true})
	im.skipBad = skipBad
	var bad []string
	im.bad = func(err error) { bad = append(bad, err.Error()) }
	read := 0
	done, err := im.read(newLineReader(strings.NewReader(text)), func(n int) { read += n })
	if err == nil && read != len(text) {
		t.Errorf("%d bytes told of %d", read, len(text))
	}
	return done, bad, err
}

func TestExportedLinesImportTheSameBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := map[string]string{}
		var text []byte
		for range rapid.IntRange(0, 30).Draw(rt, "lines") {
			r := api.Record{
				Key:   rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "key"),
				Value: rapid.SliceOf(rapid.Byte()).Draw(rt, "value"),
			}
			want[string(r.Key)] = string(r.Value) // the last line of a key wins
			text = append(r.AppendJSON(text), '\n')
		}
		s := &shelf{}
		if _, _, err := s.take(t, string(text), false); err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(s.values) != fmt.Sprint(want) {
			rt.Fatalf("%q, want %q", s.values, want)
		}
		if again, _, err := s.take(t, string(text), false); err != nil || len(want) == len(bytes.Split(text, []byte("\n")))-1 && again.Written != 0 {
			rt.Fatalf("imported again: %+v, %v", again, err)
		}
	})
}

func TestManyLinesGoInBoundedLoads(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "{\"key\":\"k%d\",\"value\":%q}\n", i%4500, strings.Repeat("v", 100+i%7))
	}
	s := &shelf{refuse: 3}
	got, _, err := s.take(t, text.String(), false)
	if err != nil || len(s.values) != 4500 || got.Written != 5000 || got.Node != "a" {
		t.Errorf("%+v, %d keys, %v", got, len(s.values), err)
	}
	for i := 4500; i < 5000; i++ {
		if len(s.values[fmt.Sprintf("k%d", i%4500)]) != 100+i%7 {
			t.Fatalf("an earlier line won over line %d", i+1)
		}
	}
	if s.loads < 5 {
		t.Errorf("%d loads", s.loads)
	}
}

const mixed = `{"key":"one","value":"1"}

not json
{"key":"","value":"2"}
{"key":"no value"}
{"key":"refused","value":"3"}
{"key":"two","value":"2","origin":"a/0000000000000001","seq":1,"hlc":"0000000000000001","timestamp":"2026-01-01T00:00:00Z"}`

func TestBadLinesAreNamedAndSkipped(t *testing.T) {
	s := &shelf{}
	got, bad, err := s.take(t, mixed, true)
	if err != nil || got.Written != 2 || got.Bad != 4 || s.values["two"] != "2" {
		t.Errorf("%+v, %v", got, err)
	}
	want := []string{"line 3: not JSON as wanted: invalid character 'o' in literal null (expecting 'u')", "line 4: the key is empty", "line 5: no value", "line 6: too large"}
	if fmt.Sprint(bad) != fmt.Sprint(want) {
		t.Errorf("%q", bad)
	}
}

func TestBadLineStopsImportWhichKeepsWhatCameBefore(t *testing.T) {
	s := &shelf{}
	got, _, err := s.take(t, mixed, false)
	var line *recordError
	if !errors.As(err, &line) || line.Where != "line 3" || got.Written != 1 || len(s.values) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	s = &shelf{}
	_, _, err = s.take(t, "{\"key\":\"refused\",\"value\":\"\"}\n", false)
	if !errors.As(err, &line) || line.Where != "line 1" {
		t.Errorf("refused by the node: %v", err)
	}
}

func TestFailingNodeEndsImport(t *testing.T) {
	s := &shelf{failing: api.ErrReadOnly}
	if _, _, err := s.take(t, strings.Repeat("{\"key\":\"k\",\"value\":\"v\"}\n", 3000), true); !errors.Is(err, api.ErrReadOnly) {
		t.Errorf("%v", err)
	}
}

// endless is a line without an end.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range n {
		p[i] = 'x'
	}
	e.left -= n
	return n, nil
}

func TestLineTooLongIsRefusedInBoundedMemory(t *testing.T) {
	lines := newLineReader(io.MultiReader(&endless{maxLine + 10}, strings.NewReader("\n{\"key\":\"k\",\"value\":\"v\"}")))
	var bad *recordError
	if _, err := lines.next(); !errors.As(err, &bad) || bad.Where != "line 1" {
		t.Fatalf("%v", err)
	}
	if r, err := lines.next(); err != nil || string(r.Key) != "k" || lines.number != 2 {
		t.Errorf("the line behind: %+v, %v", r, err)
	}
	if _, err := lines.next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}
