// Command peer is a node in memory, written from docs/protocol.md alone: it
// imports nothing of this module. It collects nothing and knows no reconcile, so
// a node that has collected what the peer has not seen turns it away.
package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"log"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
)

const tombstone, prefix = 1, "replicator."

var be = binary.BigEndian

// The parts of messages, with their fields in order.
type (
	bin    string // bytes
	hex64  uint64 // JSON has it as 16 hex digits
	nonce  string // 16 bytes
	origin string // node, 0, the 8 bytes of the epoch: so it sorts, and so hashes take it
	dot    struct {
		Origin origin
		Seq    uint64
	}
	stamp struct {
		HLC hex64
		dot
	}
	entry struct {
		Key, Value bin
		stamp
		Flags, Expiry uint64
		Type          string
		Prev          []stamp
		Batch         []uint64
	}
	session struct {
		ID            hex64
		Puller, Donor nonce
	}
	from struct {
		Node               string
		Nonce, Prev        nonce
		Started            uint64
		Version            string
		MaxPayload, Starts uint64
		Replica            bool
		Finals             hex64
	}
	digest struct {
		Bucket                   string
		Clock, Ahead, Sum, Epoch hex64
		Own                      uint64
		Floor                    hex64
	}
	// msg has the fields of all messages. Greeting is the session of a hello,
	// Differing the parts of a differ, Count the entries of an end.
	msg struct {
		Type, Bucket, Reason, Text                                               string
		From                                                                     from
		Session                                                                  session
		Origin                                                                   origin
		Nonce                                                                    nonce
		First, Last, Size, Wall, MaxBody, Rows, Number, Pages, Count, RetryAfter uint64
		Stopping, Compared, Resume, Reconcile, KeyOrder, Cut, Folded             bool
		Entries                                                                  []entry
		Digests                                                                  []digest
		Clock, Ahead, GCV                                                        []dot
		Greeting, GCTS, HLC, Floor, Finals                                       hex64
		Parts                                                                    []hex64
		Formats, Differing, Bad                                                  []uint64
		Unknown, Unsure                                                          []string
		Cursor                                                                   bin
	}
)

// kinds are the messages by number, with their fields in order.
var kinds = []string{
	"none", "live Bucket Origin First Last Nonce Size Entries", "heartbeat From Wall Stopping Digests",
	"hello From Greeting Formats MaxBody Digests Unknown", "hello_reply From Greeting Formats MaxBody Digests Unknown Unsure",
	"compare Session Bucket Parts", "differ Session Differing", "pull Session Bucket Compared Clock Resume Cursor Reconcile Finals",
	"begin Session KeyOrder Clock Rows Ahead GCV GCTS HLC Folded Bad", "page Session Number Entries", "end Session Pages Count Cut Cursor",
	"ack Session Bucket Number", "busy Session RetryAfter", "abort Session Bucket Reason Text", "report From Bucket Clock Floor Folded",
}

func encode(m msg) []byte {
	no := slices.IndexFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, m.Type+" ") })
	buf := bytes.NewBuffer([]byte{1, byte(no)})
	enc := msgpack.NewEncoder(buf)
	enc.UseArrayEncodedStructs(true)
	enc.UseCompactInts(true)
	origins = nil
	for _, name := range strings.Fields(kinds[no])[1:] {
		f := reflect.ValueOf(m).FieldByName(name)
		if f.Kind() == reflect.Slice && f.IsNil() { // a list, not msgpack's nil
			f = reflect.MakeSlice(f.Type(), 0, 0)
		}
		_ = enc.EncodeValue(f) // buf takes all
	}
	return buf.Bytes()
}

func decode(body []byte) (m msg, err error) {
	if len(body) < 2 || body[0] != 1 || int(body[1]) >= len(kinds) {
		return m, fromJSON(body, &m)
	}
	names, dec := strings.Fields(kinds[body[1]]), msgpack.NewDecoder(bytes.NewReader(body[2:]))
	m.Type, origins = names[0], nil
	for _, name := range names[1:] {
		err = cmp.Or(err, dec.DecodeValue(reflect.ValueOf(&m).Elem().FieldByName(name)))
	}
	return m, err
}

func (b bin) EncodeMsgpack(enc *msgpack.Encoder) error   { return enc.EncodeBytes([]byte(b)) }
func (n nonce) EncodeMsgpack(enc *msgpack.Encoder) error { return enc.EncodeBytes([]byte(n)) }

// origins are those of the body under way: msgpack writes each out once.
var origins []origin

func wall() hex64                         { return hex64(time.Now().UnixMilli()) << 16 }
func newOrigin(s string, n uint64) origin { return origin(be.AppendUint64([]byte(s+"\x00"), n)) }

func (o origin) EncodeMsgpack(enc *msgpack.Encoder) error {
	if i := slices.Index(origins, o); i >= 0 {
		return enc.EncodeInt(int64(i))
	}
	origins = append(origins, o)
	return cmp.Or(enc.EncodeArrayLen(2), enc.EncodeString(string(o[:len(o)-9])), enc.EncodeUint(be.Uint64([]byte(o[len(o)-8:]))))
}

func (o *origin) DecodeMsgpack(dec *msgpack.Decoder) error {
	if code, _ := dec.PeekCode(); code != 0x92 { // not written out
		i, err := dec.DecodeInt()
		if err != nil || i < 0 || i >= len(origins) {
			return fmt.Errorf("origin %d: %w", i, err)
		}
		*o = origins[i]
		return nil
	}
	_, _ = dec.DecodeArrayLen()
	node, err := dec.DecodeString()
	epoch, late := dec.DecodeUint64()
	*o = newOrigin(node, epoch)
	origins = append(origins, *o)
	return cmp.Or(err, late)
}

type clock map[origin]uint64

func (c clock) rows() (rows []dot) {
	for _, o := range slices.Sorted(maps.Keys(c)) {
		rows = append(rows, dot{o, c[o]})
	}
	return rows
}

func (c clock) join(rows []dot) clock {
	for _, d := range rows {
		c[d.Origin] = max(c[d.Origin], d.Seq)
	}
	return c
}

func (c clock) above(d clock) clock {
	c = maps.Clone(c)
	maps.DeleteFunc(c, func(o origin, seq uint64) bool { return seq <= d[o] })
	return c
}

func (c clock) hash() (sum hex64) {
	for _, d := range c.rows() {
		sum += hex64(xxhash.Sum64(stamp{dot: d}.bytes()[8:]))
	}
	return sum
}

// bytes sort as stamps do, and hashes take them so.
func (s stamp) bytes() []byte {
	return be.AppendUint64(append(be.AppendUint64(nil, uint64(s.HLC)), s.Origin...), s.Seq)
}

func (e entry) hash() hex64 {
	if e.Key == "" || e.Flags&tombstone != 0 || e.Expiry > 0 {
		return 0 // not in the sum
	}
	typed := bytes.TrimLeft(append([]byte{byte(len(e.Type))}, e.Type...), "\x00") // behind its length; nothing without one
	b := slices.Concat(be.AppendUint32(nil, uint32(len(e.Key))), []byte(e.Key), e.bytes(), []byte{byte(min(2, 2*len(e.Type)))})
	return hex64(xxhash.Sum64(slices.Concat(b, make([]byte, 8), typed, []byte(e.Value)))) // 8: no expiry
}

type (
	node struct {
		nc              *nats.Conn
		bucket          string // the only one
		me              from
		limit           int // of a message
		own             origin
		epoch, hlc, sum hex64 // epoch: 0 before the first write
		rows            map[bin]entry
		clock, ahead    clock
		told            digest    // by the last heartbeat
		toldAt, pullAt  time.Time // the latter: no pull before
		peers           map[string]nonce
		frames          map[string][]byte
		served          map[session]*stream
		pull            *pulling
	}
	pulling struct {
		from           string
		id             session
		heard          time.Time
		begun, resume  bool
		claim, ahead   []dot
		pages, entries uint64
	}
	stream struct { // what a puller still has to get
		heard       time.Time
		entries     []entry
		pages, sent uint64
	}
)

func main() {
	n := &node{rows: map[bin]entry{}, clock: clock{}, ahead: clock{}, peers: map[string]nonce{}, frames: map[string][]byte{}, served: map[session]*stream{}}
	in, server := make(chan *nats.Msg, 1<<13), flag.String("server", nats.DefaultURL, "URL of the NATS server")
	flag.StringVar(&n.me.Node, "node", "p", "name of the node")
	flag.StringVar(&n.bucket, "bucket", "default", "the bucket it holds")
	flag.Parse()
	nc, err := nats.Connect(*server, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	for _, s := range []string{"_fleet.clock.*", "_fleet.sync.ME.*", n.bucket + ".live.*", n.bucket + ".sync.ME.*", "reply.ME.*", "peer.ME"} {
		_, late := nc.ChanSubscribe(prefix+strings.ReplaceAll(s, "ME", n.me.Node), in)
		err = cmp.Or(err, late)
	}
	if err != nil {
		log.Fatal(err)
	}
	drawn := nonce(be.AppendUint64(be.AppendUint64(nil, rand.Uint64()), rand.Uint64()))
	n.nc, n.limit, n.me = nc, min(256<<10, int(nc.MaxPayload())-512), from{n.me.Node, drawn, nonce(make([]byte, 16)), uint64(wall() >> 16), "peer", uint64(nc.MaxPayload()), 1, false, 0}
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case m := <-in:
			n.receive(m)
		case now := <-tick.C:
			if d := n.digest(); d != n.told || now.Sub(n.toldAt) > 5*time.Second {
				n.told, n.toldAt = d, now
				n.send("_fleet.clock."+n.me.Node, "", msg{Type: "heartbeat", From: n.me, Wall: uint64(now.UnixMilli()), Digests: []digest{d}})
			}
			if n.pull != nil && now.Sub(n.pull.heard) > 10*time.Second {
				n.pull = nil
			}
			maps.DeleteFunc(n.served, func(_ session, s *stream) bool { return now.Sub(s.heard) > 30*time.Second })
		}
	}
}

func (n *node) send(subject, reply string, m msg) {
	body, id := encode(m), rand.Uint64()
	pieces := slices.Collect(slices.Chunk(body, n.limit-29))
	for i, piece := range pieces {
		if len(pieces) > 1 {
			f := be.AppendUint64([]byte{2}, id)
			f = be.AppendUint32(be.AppendUint32(f, uint32(i)), uint32(len(pieces)))
			f = be.AppendUint64(f, uint64(len(body)))
			piece = append(be.AppendUint32(f, crc32.Checksum(piece, crc32.MakeTable(crc32.Castagnoli))), piece...)
		}
		_ = n.nc.PublishMsg(&nats.Msg{Subject: prefix + subject, Reply: reply, Data: piece}) // who misses it will pull
	}
}

func (n *node) request(to string, m msg) {
	n.send(to+"."+n.me.Node, fmt.Sprintf("%sreply.%s.%016x", prefix, n.me.Node, uint64(m.Session.ID+m.Greeting)), m)
}

// whole puts frames together, and is nil until the last one is here.
func (n *node) whole(subject string, d []byte) []byte {
	if len(d) < 29 || d[0] != 2 {
		return d
	}
	id := subject + string(d[1:9])
	body := append(n.frames[id], d[29:]...)
	if n.frames[id] = body; be.Uint32(d[9:])+1 < be.Uint32(d[13:]) {
		return nil
	}
	if delete(n.frames, id); uint64(len(body)) != be.Uint64(d[17:]) {
		return nil // one was lost
	}
	return body
}

func (n *node) receive(raw *nats.Msg) {
	words, body := strings.Split(raw.Subject, "."), n.whole(raw.Subject, raw.Data)
	speaker, answer := words[len(words)-1], words[1] == "reply"
	if words[1] == "peer" {
		n.command(raw)
	}
	if len(body) == 0 || speaker == n.me.Node {
		return
	}
	m, err := decode(body)
	reply, inside := strings.CutPrefix(raw.Reply, prefix)
	inside = inside && strings.HasPrefix(reply, "reply."+speaker+".")
	switch said := m.From.Node == speaker; {
	case err != nil:
		log.Print(raw.Subject, ": ", err)
	case m.Type == "hello_reply" && answer, m.Type == "heartbeat" && said, m.Type == "hello" && said && inside:
		n.heard(m, reply)
	case answer:
		n.answer(m)
	case m.Type == "live" && strings.HasPrefix(string(m.Origin), speaker+"\x00") && m.Bucket == n.bucket:
		n.live(m, speaker)
	case inside:
		n.serve(m, reply)
	}
}

func (n *node) digest() digest {
	return digest{n.bucket, n.clock.hash(), n.ahead.hash(), n.sum, n.epoch, n.clock[n.own], n.hlc}
}

// heard takes a heartbeat, a hello or the answer to one.
func (n *node) heard(m msg, reply string) {
	name, mine := m.From.Node, n.digest()
	answer := msg{Type: "hello_reply", From: n.me, Greeting: m.Greeting, Formats: []uint64{1, '{'}, MaxBody: 24 << 20}
	if n.peers[name] != m.From.Nonce {
		n.peers[name], n.limit = m.From.Nonce, min(n.limit, int(m.From.MaxPayload)-512)
		if hello := answer; m.Type == "heartbeat" && n.me.Node < name { // of two the lesser name says it
			hello.Type, hello.Greeting, hello.Digests = "hello", hex64(rand.Uint64()), []digest{mine}
			n.request("_fleet.sync."+name, hello)
		}
	}
	for _, d := range m.Digests {
		if d.Bucket != n.bucket {
			answer.Unknown = append(answer.Unknown, d.Bucket)
		} else if d.Clock != mine.Clock || d.Ahead != mine.Ahead || d.Sum != mine.Sum {
			answer.Digests = []digest{mine}
			n.ask(name)
		}
	}
	if m.Type == "hello" {
		n.send(reply, "", answer)
	}
}

func (n *node) write(e entry) {
	row, held := n.rows[e.Key]
	n.epoch = cmp.Or(n.epoch, hex64(rand.Uint64()))
	n.own = newOrigin(n.me.Node, uint64(n.epoch))
	n.hlc = max(wall(), n.hlc+1)
	if e.stamp = (stamp{max(n.hlc, row.HLC+1), dot{n.own, n.clock[n.own] + 1}}); held {
		e.Prev = []stamp{row.stamp}
	}
	n.merge(e)
	n.clock[n.own] = e.Seq
	m := msg{Type: "live", Bucket: n.bucket, Origin: n.own, First: e.Seq, Last: e.Seq, Nonce: n.me.Nonce, Entries: []entry{n.rows[e.Key]}}
	if size := len(encode(m)); size > n.limit-29 { // an announcement
		m.Size, m.Entries = uint64(size), nil
	}
	n.send(n.bucket+".live."+n.me.Node, "", m)
}

func (n *node) merge(e entry) {
	row := n.rows[e.Key]
	if e.Seq <= n.clock[e.Origin] || bytes.Compare(e.bytes(), row.bytes()) <= 0 {
		return
	}
	e.Prev, e.Batch = append([]stamp{}, e.Prev...), append([]uint64{}, e.Batch...) // lists, where JSON left them out
	n.rows[e.Key], n.sum = e, n.sum+e.hash()-row.hash()
	n.hlc = max(n.hlc, min(e.HLC, wall()+5*60*1000<<16))
}

func (n *node) live(m msg, speaker string) {
	if have := n.clock[m.Origin]; m.Last > have && (m.Size > 0 || m.First > have+1) {
		n.ask(speaker) // it brings what was missed, and this
	} else if m.Last > have {
		for _, e := range m.Entries {
			n.merge(e)
		}
		n.ahead = n.ahead.above(n.clock.join([]dot{{m.Origin, m.Last}}))
	}
}

// ask begins a pull. Where one is under way, a later heartbeat leads to it.
func (n *node) ask(donor string) {
	if n.pull == nil && n.peers[donor] != "" && time.Now().After(n.pullAt) {
		n.pull, n.pullAt = &pulling{from: donor, id: session{0, n.me.Nonce, n.peers[donor]}}, time.Now().Add(time.Second)
		n.tell(msg{Type: "pull"})
	}
}

func (n *node) tell(m msg) {
	p := n.pull
	if p.heard = time.Now(); m.Type == "pull" { // the first of a pull, or the next after a cut
		p.id.ID, p.pages, p.entries, m.Clock = hex64(rand.Uint64()), 0, 0, n.clock.rows()
	}
	m.Session, m.Bucket = p.id, n.bucket
	n.request(n.bucket+".sync."+p.from, m)
}

func (n *node) answer(m msg) {
	p := n.pull
	if p == nil || m.Session != p.id {
		return
	}
	switch {
	case m.Type == "begin" && !p.begun:
		p.begun, p.claim, p.ahead = true, m.Clock, m.Ahead
	case m.Type == "begin" && p.resume: // the donor is the same, so the first claim is the meet
	case m.Type == "page" && p.begun && m.Number == p.pages+1:
		for _, e := range m.Entries {
			n.merge(e)
			n.ahead.join([]dot{e.dot})
		}
		n.ahead, p.pages, p.entries = n.ahead.above(n.clock), m.Number, p.entries+uint64(len(m.Entries))
		n.tell(msg{Type: "ack", Number: m.Number})
	case m.Type == "end" && p.begun && m.Pages == p.pages && m.Count == p.entries && m.Cut:
		p.resume = true
		n.tell(msg{Type: "pull", Resume: true, Cursor: m.Cursor})
	case m.Type == "end" && p.begun && m.Pages == p.pages && m.Count == p.entries:
		n.ahead, n.pull = n.ahead.join(p.ahead).above(n.clock.join(p.claim)), nil
	case m.Type == "busy", m.Type == "abort":
		n.pull, n.pullAt = nil, time.Now().Add(time.Second+time.Duration(m.RetryAfter)*time.Millisecond)
	default:
		n.tell(msg{Type: "abort", Reason: "failed", Text: m.Type + " does not come next"})
		n.pull = nil
	}
}

// serve takes a request. To a compare it says that all parts differ.
func (n *node) serve(m msg, reply string) {
	s, answer := n.served[m.Session], msg{Type: "abort", Session: m.Session, Bucket: m.Bucket}
	switch {
	case s != nil && m.Type == "ack" && m.Number == s.pages:
		n.page(m.Session, s, reply)
		return
	case m.Type != "pull" && m.Type != "compare": // an abort
		delete(n.served, m.Session)
		return
	case m.Session.Donor != n.me.Nonce:
		answer.Reason = "stale"
	case m.Bucket != n.bucket, m.Reconcile:
		answer.Reason = "unknown"
	case len(n.served) >= 8:
		answer.Type, answer.RetryAfter = "busy", 1000
	case m.Type == "compare":
		for answer.Type = "differ"; len(answer.Differing) < 256; {
			answer.Differing = append(answer.Differing, uint64(len(answer.Differing)))
		}
	default:
		theirs := clock{}.join(m.Clock)
		answer = msg{Type: "begin", Session: m.Session, KeyOrder: true, Clock: n.clock.above(theirs).rows(), Rows: uint64(len(n.rows)), Ahead: n.ahead.rows()}
		s = &stream{}
		for _, key := range slices.Sorted(maps.Keys(n.rows)) {
			if e := n.rows[key]; e.Seq > theirs[e.Origin] && (!m.Resume || key > m.Cursor) {
				s.entries = append(s.entries, e)
			}
		}
	}
	if n.send(reply, "", answer); answer.Type == "begin" {
		n.served[m.Session] = s
		n.page(m.Session, s, reply)
	}
}

// page sends a page, and the end behind the last one.
func (n *node) page(id session, s *stream, reply string) {
	size, count := 0, 0
	for ; count < len(s.entries) && size < 192<<10; count++ {
		size += len(s.entries[count].Key) + len(s.entries[count].Value) + 64
	}
	if s.heard = time.Now(); count > 0 {
		s.pages, s.sent = s.pages+1, s.sent+uint64(count)
		n.send(reply, "", msg{Type: "page", Session: id, Number: s.pages, Entries: s.entries[:count]})
	}
	if s.entries = s.entries[count:]; len(s.entries) == 0 {
		n.send(reply, "", msg{Type: "end", Session: id, Pages: s.pages, Count: s.sent})
		delete(n.served, id)
	}
}
