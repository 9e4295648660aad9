package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"replicator/api"
	"replicator/oplog"
)

// flushBytes is how much of a list is gathered before it is sent.
const flushBytes = 64 << 10

// A listEnd is the last line of a list. A list without it was cut.
type listEnd struct {
	End struct {
		Keys     int        `json:"keys"`
		More     bool       `json:"more"` // the limit ended it: go on behind the last key
		After    *string    `json:"after,omitempty"`
		AfterB64 *string    `json:"after_b64,omitempty"`
		Error    *api.Error `json:"error,omitempty"` // it ended early
	} `json:"end"`
}

// list streams the rows of a range, all of one snapshot, one a line.
func (s *Server) list(w http.ResponseWriter, r *http.Request, t target) error {
	o, err := rangeOf(r)
	if err != nil {
		return err
	}
	ctx, done, err := s.openStream(r, t)
	if err != nil {
		return err
	}
	defer done()
	limit := o.Limit
	if limit > 0 {
		o.Limit++ // one more tells whether there are more
	}
	rows, err := s.handlers.Scan(ctx, t.bucket, o, "")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", linesType)
	s.sendList(w, rows, limit, o.KeysOnly)
	return nil
}

// look waits until the node has seen what the request wants seen, and finds what
// would end a stream at once: that is an error of the request, with its status.
func (s *Server) look(r *http.Request, t target) error {
	ctx, cancel := s.withTimeout(r)
	defer cancel()
	rows, err := s.handlers.Scan(ctx, t.bucket, api.ScanOptions{Limit: 1}, r.Header.Get(api.HeaderAfter))
	if err != nil {
		return err
	}
	for _, err := range rows {
		return err
	}
	return nil
}

// openStream takes a place for a stream, whose context ends with the client, or with
// the server. What would end it at once is an error. The caller calls done.
func (s *Server) openStream(r *http.Request, t target) (ctx context.Context, done func(), err error) {
	if !s.streams.TryAcquire(1) {
		return nil, nil, api.ErrOverloaded.With("%d streams are open", s.opts.Streams)
	}
	if err := s.look(r, t); err != nil {
		s.streams.Release(1)
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { stop(); cancel(); s.streams.Release(1) }, nil
}

func (s *Server) sendList(w http.ResponseWriter, rows iter.Seq2[oplog.Entry, error], limit int, bare bool) {
	var (
		end  listEnd
		last []byte
		buf  []byte
	)
	for e, err := range rows {
		if err != nil {
			end.End.Error = api.AsError(err)
			break
		}
		if limit > 0 && end.End.Keys == limit {
			end.End.More = true
			end.End.After, end.End.AfterB64 = textOr64(last)
			break
		}
		rec := api.RecordOf(&e)
		rec.Bare = bare
		buf = append(rec.AppendJSON(buf), '\n')
		last = append(last[:0], e.Key...)
		end.End.Keys++
		if len(buf) >= flushBytes {
			s.pace(w, len(buf))
			if _, err := w.Write(buf); err != nil {
				return // gone, or too slow: the snapshot is not held for it
			}
			buf = buf[:0]
		}
	}
	line, _ := json.Marshal(end) // numbers and strings always marshal
	s.write(w, append(append(buf, line...), '\n'))
}

func textOr64(key []byte) (text, b64 *string) {
	if utf8.Valid(key) {
		t := string(key)
		return &t, nil
	}
	t := base64.StdEncoding.EncodeToString(key)
	return nil, &t
}

// rangeOf reads which rows a list has.
func rangeOf(r *http.Request) (api.ScanOptions, error) {
	var o api.ScanOptions
	q, err := params(r, "prefix", "start", "end", "after", "limit", "reverse", "values")
	if err != nil {
		return o, err
	}
	for name, into := range map[string]*[]byte{"prefix": &o.Prefix, "start": &o.Start, "end": &o.End, "after": &o.After} {
		if !q.Has(name) {
			continue
		}
		if *into = []byte(q.Get(name)); len(*into) > oplog.MaxKey {
			return o, errBadParam.With("%s is longer than a key", name)
		}
	}
	if q.Has("limit") {
		if o.Limit, err = strconv.Atoi(q.Get("limit")); err != nil || o.Limit <= 0 || o.Limit > 1<<30 {
			return o, errBadParam.With("limit %q: want a number above 0", clip(q.Get("limit")))
		}
	}
	if o.Reverse, err = boolParam(q, "reverse"); err != nil {
		return o, err
	}
	if q.Has("values") {
		values, err := boolParam(q, "values")
		if err != nil {
			return o, err
		}
		o.KeysOnly = !values
	}
	return o, nil
}

// watch streams changes from now on, or from the start, or from a token, as
// server-sent events if the client wants them, else as lines of JSON.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, t target) error {
	q, err := watchQuery(r)
	if err != nil {
		return err
	}
	f := form{events: strings.Contains(r.Header.Get("Accept"), "text/event-stream"), bare: q.MetaOnly}
	ctx, done, err := s.openStream(r, t)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithCancel(ctx) // ends the watch when the client is left
	defer cancel()
	events, err := s.handlers.Watch(ctx, t.bucket, q, "")
	if err != nil {
		return err
	}
	if q.Resume != "" { // a token that is none, or has expired, is an error of the request
		next, stop := iter.Pull2(events)
		defer stop()
		first, err, ok := next()
		if err != nil {
			return err
		}
		events = func(yield func(api.WatchEvent, error) bool) {
			for ev, err := first, error(nil); ok && yield(ev, err); ev, err, ok = next() {
			}
		}
	}
	w.Header().Set("Content-Type", f.contentType())
	s.follow(ctx, cancel, w, events, f)
	return nil
}

// watchQuery reads what a watch tells. A browser that connects again says in
// Last-Event-ID which mark came last.
func watchQuery(r *http.Request) (api.WatchQuery, error) {
	w := api.WatchQuery{Marks: true}
	q, err := params(r, "prefix", "values", "deletes", "from", "resume")
	if err != nil {
		return w, err
	}
	for name, into := range map[string]*bool{"values": &w.MetaOnly, "deletes": &w.PutsOnly} {
		if !q.Has(name) {
			continue
		}
		wanted, err := boolParam(q, name)
		if err != nil {
			return w, err
		}
		*into = !wanted
	}
	if from := q.Get("from"); q.Has("from") && from != "start" && from != "now" {
		return w, errBadParam.With("from %q: want start or now", clip(from))
	}
	w.Prefix, w.FromStart, w.Resume = []byte(q.Get("prefix")), q.Get("from") == "start", q.Get("resume")
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		w.Resume, w.FromStart = id, false
	}
	return w, nil
}

// follow writes events as they come until the client is gone or the watch ends.
// Cancel ends the events.
func (s *Server) follow(ctx context.Context, cancel func(), w http.ResponseWriter, events iter.Seq2[api.WatchEvent, error], f form) {
	type change struct {
		api.WatchEvent
		err error
	}
	changes := make(chan change)
	go func() {
		defer close(changes)
		for ev, err := range events {
			select {
			case changes <- change{ev, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { // the goroutine ends before the handler does
		cancel()
		for range changes {
		}
	}()
	send := func(line []byte) bool {
		s.pace(w, len(line))
		if _, err := w.Write(line); err != nil {
			return false
		}
		return http.NewResponseController(w).Flush() == nil
	}
	if !send(f.open(s.backend.Name())) {
		return
	}
	alive := time.NewTicker(s.opts.Heartbeat)
	defer alive.Stop()
	for {
		var line []byte
		select {
		case <-alive.C:
			line = f.alive()
		case c, ok := <-changes:
			switch {
			case !ok && s.stopping.Err() != nil:
				send(f.end(api.ErrStopping))
				return
			case !ok:
				return
			case c.err != nil:
				send(f.end(api.AsError(c.err)))
				return
			}
			line = f.change(&c.WatchEvent)
			alive.Reset(s.opts.Heartbeat)
		}
		if !send(line) {
			return
		}
	}
}

// A form is how a watch is written.
type form struct {
	events bool // server-sent events, else lines
	bare   bool // without values
}

func (f form) contentType() string {
	if f.events {
		return "text/event-stream"
	}
	return linesType
}

// open says that everything from now on is told.
func (f form) open(node string) []byte {
	data, _ := json.Marshal(map[string]string{"node": node})
	if f.events {
		return []byte("event: open\ndata: " + string(data) + "\n\n")
	}
	return []byte(`{"open":` + string(data) + "}\n")
}

func (f form) alive() []byte {
	if f.events {
		return []byte(": alive\n\n")
	}
	return []byte(`{"alive":true}` + "\n")
}

// end is the last word of a watch that the node ends.
func (f form) end(e *api.Error) []byte {
	data, _ := json.Marshal(problemOf(e))
	if f.events {
		return []byte("event: error\ndata: " + string(data) + "\n\n")
	}
	return []byte(`{"error":` + string(data) + "}\n")
}

// change is one event. The id of a mark is its token: a browser gives it back.
func (f form) change(ev *api.WatchEvent) []byte {
	if !f.events {
		return append(ev.AppendJSON(nil, f.bare), '\n')
	}
	kind, id := "put", ""
	switch {
	case ev.Mark != nil:
		kind, id = "mark", "\nid: "+ev.Mark.Token
	case ev.Entry.Tombstone:
		kind = "delete"
	}
	b := []byte("event: " + kind + id + "\ndata: ")
	return append(ev.AppendJSON(b, f.bare), "\n\n"...)
}
