package integration_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"replicator/api"
	"replicator/oplog"
)

// The data API is one, by whichever road a request comes: what is asked in the table
// of roads_test.go is asked in Go, of the client over NATS, over NATS without
// it, over HTTP and of the command, all of one running node. The answers are
// compared as text: see tell.

// A road asks a node. What the node refuses is an error with a refusal in it.
type road interface {
	name() string
	do(ctx context.Context, a ask) (answer, error)
	watch(ctx context.Context, a ask) iter.Seq2[api.WatchEvent, error]
}

// shortWait is how long a read waits for a write that does not come.
const shortWait = 3 * time.Second // the node leaves itself a tenth to say so

// A refusal is the code of an error.
type refusal string

func (r refusal) Error() string { return string(r) }

// errNoWay is that of a road which does not have such a request.
var errNoWay = errors.New("no way to say that by this road")

// An ask is one request, the same for every road. Its bucket is one that is there,
// unless it says another.
type ask struct {
	verb   string
	bucket string
	create bool // a bucket that nobody has

	key, value string
	keys       []string // of a mget
	ops        []ask    // of a batch

	ttl     time.Duration
	expires time.Time
	absent  bool      // the condition of create
	at      rev       // that of update
	ifDot   oplog.Dot // the same, resolved
	after   string    // tokens
	tokens  []rev     // the same, by name
	o       listing   // of a list
	w       watching
}

// A rev names a revision: 1 is that of the first write of a case, and so on.
type rev int

const unwritten rev = -1 // a write that the node has not made

type listing struct {
	prefix, start, end, behind string
	limit                      int
	reverse, keysOnly, pages   bool
}

type watching struct {
	fromStart, resume, noDeletes, metaOnly bool
	token                                  string
	then                                   []ask // what happens once it has caught up
}

func get(key string) ask           { return ask{verb: "get", key: key} }
func put(key, value string) ask    { return ask{verb: "put", key: key, value: value} }
func del(key string) ask           { return ask{verb: "del", key: key} }
func mget(keys ...string) ask      { return ask{verb: "mget", keys: keys} }
func list() ask                    { return ask{verb: "list"} }
func delprefix(prefix string) ask  { return ask{verb: "delprefix", key: prefix} }
func batch(ops ...ask) ask         { return ask{verb: "batch", ops: ops} }
func reached(tokens ...rev) ask    { return ask{verb: "reached", tokens: tokens} }
func watchFrom() ask               { return ask{verb: "watch", w: watching{fromStart: true}} }
func watchOn() ask                 { return ask{verb: "watch", w: watching{resume: true}} }
func gone() ask                    { return ask{verb: "gone", key: "k"} } // waits until k has expired
func mark() ask                    { return ask{verb: "mark"} }           // takes a token of a watch
func (a ask) in(bucket string) ask { a.bucket = bucket; return a }
func (a ask) making() ask          { a.create = true; return a }

func (a ask) lasting(ttl time.Duration) ask { a.ttl = ttl; return a }
func (a ask) until(at time.Time) ask        { a.expires = at; return a }
func (a ask) ifAbsent() ask                 { a.absent = true; return a }
func (a ask) ifAt(r rev) ask                { a.at = r; return a }
func (a ask) seen(tokens ...rev) ask        { a.tokens = tokens; return a }
func (a ask) seenText(token string) ask     { a.after = token; return a }
func (a ask) prefix(p string) ask           { a.o.prefix = p; return a }
func (a ask) from(start, end string) ask    { a.o.start, a.o.end = start, end; return a }
func (a ask) behind(key string) ask         { a.o.behind = key; return a }
func (a ask) limit(n int) ask               { a.o.limit = n; return a }
func (a ask) reverse() ask                  { a.o.reverse = true; return a }
func (a ask) keysOnly() ask                 { a.o.keysOnly = true; return a }
func (a ask) pages(n int) ask               { a.o.limit, a.o.pages = n, true; return a }
func (a ask) then(ops ...ask) ask           { a.w.then = ops; return a }
func (a ask) noDeletes() ask                { a.w.noDeletes = true; return a }
func (a ask) metaOnly() ask                 { a.w.metaOnly = true; return a }
func (a ask) token(text string) ask         { a.w.token, a.w.resume = text, true; return a }
func (a ask) fromStartToo() ask             { a.w.fromStart = true; return a }

// An answer is what a road brought back, as far as the verb has it.
type answer struct {
	rows    []api.Record
	wrote   []oplog.Dot // the first and the last
	written int         // of a batch
	absent  int
	deleted int
	more    *bool  // of a page, where the road tells
	behind  string // and where the next one begins
}

// A story is one case by one road: its writes have numbers in the order in which
// they were first told of.
type story struct {
	node   string
	first  road // that the others are compared with
	writes []oplog.Dot
	token  string
}

func (s *story) dot(r rev) oplog.Dot {
	if r == unwritten {
		d := s.writes[len(s.writes)-1]
		return oplog.Dot{Origin: d.Origin, Seq: d.Seq + 1_000_000}
	}
	return s.writes[r-1]
}

// name is how a revision stands in what is compared.
func (s *story) name(d oplog.Dot) string {
	i := slices.Index(s.writes, d)
	if i < 0 {
		i = len(s.writes)
		s.writes = append(s.writes, d)
	}
	if d.Origin.Node != s.node || i > 0 && s.writes[i-1].Seq >= d.Seq {
		return fmt.Sprintf("%v, which is out of order", d)
	}
	return fmt.Sprintf("@%d", i+1)
}

// resolved is the request with what it names by number.
func (s *story) resolved(a ask) ask {
	for _, r := range a.tokens {
		a.after += "," + s.dot(r).String()
	}
	a.after = strings.TrimPrefix(a.after, ",")
	if a.at != 0 {
		a.ifDot = s.dot(a.at)
	}
	if a.w.resume && a.w.token == "" {
		a.w.token = s.token
	}
	a.ops = slices.Clone(a.ops)
	for i := range a.ops {
		a.ops[i] = s.resolved(a.ops[i])
	}
	return a
}

// text is what is compared: a row is key=value@write, with a ~ if it ends.
func (s *story) text(r *api.Record, keysOnly bool) string {
	text := show(string(r.Key))
	if keysOnly {
		return text
	}
	if !r.Bare {
		text += "=" + show(string(r.Value))
	}
	text += s.name(r.Stamp.Dot())
	if r.Expiry != 0 {
		text += "~"
	}
	if at := time.UnixMilli(r.Expiry).UTC(); at.Year() >= 2100 {
		text += at.Format("2006-01-02T15:04:05.000Z")
	}
	return text
}

// show keeps what is readable, and counts the rest.
func show(data string) string {
	switch {
	case len(data) > 80:
		return fmt.Sprintf("<%d bytes, %08x>", len(data), crc32.ChecksumIEEE([]byte(data)))
	case utf8.ValidString(data) && !strings.ContainsAny(data, " \n\x00=@~"):
		return data
	}
	return fmt.Sprintf("%q", data)
}

func (s *story) rows(rows []api.Record, keysOnly bool) string {
	list := make([]string, len(rows))
	for i := range rows {
		list[i] = s.text(&rows[i], keysOnly)
	}
	return strings.Join(list, " ")
}

// tell does one request and returns its answer as it is compared: the code of an
// error alone.
func (s *story) tell(ctx context.Context, r road, a ask) (string, error) {
	text, err := s.ask(ctx, r, a)
	if code, ok := errors.AsType[refusal](err); ok {
		return string(code), nil
	}
	return text, err
}

func (s *story) ask(ctx context.Context, r road, a ask) (string, error) {
	if a.after != "" || len(a.tokens) > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, shortWait)
		defer cancel()
	}
	a = s.resolved(a)
	switch {
	case a.verb == "watch":
		return s.follow(ctx, r, a)
	case a.o.pages:
		return s.pages(ctx, r, a)
	}
	got, err := r.do(ctx, a)
	if err != nil {
		return "", err
	}
	switch a.verb {
	case "get", "mget", "list":
		return s.rows(got.rows, a.o.keysOnly), nil
	case "put", "del":
		return s.name(got.wrote[0]), nil
	case "batch":
		text := fmt.Sprintf("%d written", got.written)
		if got.written > 0 {
			for d := got.wrote[0]; d.Seq <= got.wrote[1].Seq; d.Seq++ {
				text += " " + s.name(d)
			}
		}
		if got.absent > 0 {
			text += fmt.Sprintf(", %d absent", got.absent)
		}
		return text, nil
	case "delprefix":
		return fmt.Sprintf("%d deleted", got.deleted), nil
	}
	return "done", nil
}

// pages lists a page after the other, each behind the one before.
func (s *story) pages(ctx context.Context, r road, a ask) (string, error) {
	var pages []string
	for {
		got, err := r.do(ctx, a)
		if err != nil {
			return "", err
		}
		if len(got.rows) > 0 {
			pages = append(pages, s.rows(got.rows, a.o.keysOnly))
			a.o.behind = string(got.rows[len(got.rows)-1].Key)
		}
		if got.behind != "" {
			a.o.behind = got.behind
		}
		if got.more != nil && !*got.more || got.more == nil && len(got.rows) < a.o.limit {
			return strings.Join(pages, " | "), nil
		}
	}
}

// endKey is written when a watch may end.
const endKey = "end"

// follow tells of a watch until all was told that happened once it had caught up.
func (s *story) follow(ctx context.Context, r road, a ask) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var told []string
	for ev, err := range r.watch(ctx, a) {
		switch {
		case err != nil:
			return "", err
		case ev.Mark != nil && ev.Mark.CaughtUp:
			told = append(told, "caught-up")
			if ev.Mark.Token == "" {
				return "", errors.New("a mark without a token")
			}
			for _, op := range append(slices.Clone(a.w.then), put(endKey, "")) {
				if err := s.happen(ctx, []ask{op.in(a.bucket)}); err != nil {
					return "", err
				}
			}
		case ev.Mark != nil: // they come when they come
		case string(ev.Entry.Key) == endKey:
			return strings.Join(told, " "), nil
		case ev.Entry.Tombstone:
			told = append(told, "del:"+show(string(ev.Entry.Key))+s.name(ev.Entry.Dot()))
		default:
			rec := api.RecordOf(&ev.Entry)
			rec.Bare = a.w.metaOnly && len(rec.Value) == 0
			told = append(told, s.text(&rec, false))
		}
	}
	return "", fmt.Errorf("the watch ended after %s: %w", told, context.Cause(ctx))
}

// happen does requests by the road that the others are compared with.
func (s *story) happen(ctx context.Context, asks []ask) error {
	for _, a := range asks {
		switch a.verb {
		case "gone":
			for {
				if _, err := s.ask(ctx, s.first, get(a.key).in(a.bucket)); errors.Is(err, refusal("not_found")) {
					break
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		case "mark":
			for ev, err := range s.first.watch(ctx, watchFrom().in(a.bucket)) {
				if err != nil {
					return err
				}
				if ev.Mark != nil {
					s.token = ev.Mark.Token
					break
				}
			}
		default:
			if _, err := s.ask(ctx, s.first, a); err != nil {
				return fmt.Errorf("%s %s: %w", a.verb, show(a.key), err)
			}
		}
	}
	return nil
}
