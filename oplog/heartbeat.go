package oplog

import (
	"errors"
	"fmt"
)

// MaxDigests is the most buckets one heartbeat or hello speaks of.
const MaxDigests = 24

// A Digest is what a node says of one bucket: hashes of one fsynced state of
// it. Two nodes with equal Clock, Ahead and Sum have nothing to send each
// other; if Ahead is zero on both, the bucket pure, their rows are proven equal.
type Digest struct {
	Bucket string
	Clock  uint64 // hash of the clock
	Ahead  uint64 // hash of the extras; zero means pure
	Sum    uint64 // sum of the row hashes of live rows without expiry
	Epoch  Epoch  // of the origin being written; zero before the first write
	Own    Seq    // durable seq of that origin
	Floor  HLC    // every later write of the node has a timestamp above
}

// Same reports whether d and e describe equal states.
func (d Digest) Same(e Digest) bool {
	return d.Clock == e.Clock && d.Ahead == e.Ahead && d.Sum == e.Sum
}

func codeDigest(c coder, d *Digest) {
	c.object("", 7, func(c coder) {
		c.str("bucket", &d.Bucket)
		c.word("clock", &d.Clock)
		c.word("ahead", &d.Ahead)
		c.word("sum", &d.Sum)
		c.word("epoch", &d.Epoch)
		c.uint("own", &d.Own)
		c.word("floor", (*uint64)(&d.Floor))
	})
}

func checkDigests(list []Digest) error {
	for _, d := range list {
		if !ValidName(d.Bucket) {
			return fmt.Errorf("bad bucket name %q", clip(d.Bucket))
		}
	}
	return nil
}

// An Instance says who speaks: one running process of a node.
type Instance struct {
	Node       string
	Nonce      Nonce
	Prev       Nonce  // nonce of the previous start from the same disk
	Started    int64  // milliseconds since 1970
	Version    string // of the program
	MaxPayload uint64 // bytes its NATS server lets into one message
	Starts     uint64 // how many processes had this disk, this one included; zero: not told
	Replica    bool   // it only follows and never writes
	Finals     uint64 // HashFinals of the list that it knows
}

func codeInstance(c coder, i *Instance) {
	c.object("from", 9, func(c coder) {
		c.str("node", &i.Node)
		c.nonce("nonce", &i.Nonce)
		c.nonce("prev", &i.Prev)
		c.int("started", &i.Started)
		c.str("version", &i.Version)
		c.uint("max_payload", &i.MaxPayload)
		c.uint("starts", &i.Starts)
		c.bool("replica", &i.Replica)
		c.word("finals", &i.Finals)
	})
}

func (i *Instance) check() error {
	if !ValidName(i.Node) || i.Nonce.IsZero() {
		return errors.New("no instance named")
	}
	if len(i.Version) > 4*MaxName {
		return errors.New("version too long")
	}
	return nil
}

// Younger reports whether i started after j: of two instances with one name
// the younger has to give way.
func (i *Instance) Younger(j *Instance) bool {
	if i.Started != j.Started {
		return i.Started > j.Started
	}
	return i.Nonce.String() > j.Nonce.String()
}

// A Heartbeat tells the fleet that a node is there and how its buckets stand.
type Heartbeat struct {
	From     Instance
	Wall     int64 // the node's wall clock, milliseconds since 1970
	Stopping bool  // the last one: the node is shutting down cleanly
	Digests  []Digest
}

func (*Heartbeat) kind() Kind { return KindHeartbeat }

func (m *Heartbeat) code(c coder) {
	codeInstance(c, &m.From)
	c.int("wall", &m.Wall)
	c.bool("stopping", &m.Stopping)
	codeList(c, "digests", &m.Digests, MaxDigests, codeDigest)
}

func (m *Heartbeat) check() error { return errors.Join(m.From.check(), checkDigests(m.Digests)) }

// A Hello opens the talk between two instances: what the sender reads and
// takes, and hashes of the buckets it wants to compare.
type Hello struct {
	From    Instance
	Session uint64
	Formats []uint64 // versions of byte 0 that the sender reads
	MaxBody uint64   // bytes of the largest body it takes
	Digests []Digest
	Unknown []string // buckets that the sender held and holds no more
}

func (*Hello) kind() Kind { return KindHello }

func (m *Hello) code(c coder) {
	codeInstance(c, &m.From)
	c.word("session", &m.Session)
	codeFormats(c, &m.Formats)
	c.uint("max_body", &m.MaxBody)
	codeList(c, "digests", &m.Digests, MaxDigests, codeDigest)
	codeNames(c, "unknown", &m.Unknown)
}

func (m *Hello) check() error {
	return errors.Join(m.From.check(), checkDigests(m.Digests), checkNames(m.Unknown))
}

// A HelloReply answers a Hello with the digests that differ from what was
// asked and the names of buckets the responder does not hold. A bucket in
// neither list is equal on both sides.
type HelloReply struct {
	From    Instance
	Session uint64
	Formats []uint64
	MaxBody uint64
	Digests []Digest
	Unknown []string
	Unsure  []string // those in which the responder knows of rows that are not what was written
}

func (*HelloReply) kind() Kind { return KindHelloReply }

func (m *HelloReply) code(c coder) {
	codeInstance(c, &m.From)
	c.word("session", &m.Session)
	codeFormats(c, &m.Formats)
	c.uint("max_body", &m.MaxBody)
	codeList(c, "digests", &m.Digests, MaxDigests, codeDigest)
	codeNames(c, "unknown", &m.Unknown)
	codeNames(c, "unsure", &m.Unsure)
}

func (m *HelloReply) check() error {
	return errors.Join(m.From.check(), checkDigests(m.Digests), checkNames(m.Unknown), checkNames(m.Unsure))
}

func codeNames(c coder, name string, list *[]string) {
	codeList(c, name, list, MaxDigests, func(c coder, s *string) { c.str("", s) })
}

func checkNames(list []string) error {
	for _, name := range list {
		if !ValidName(name) {
			return fmt.Errorf("bad bucket name %q", clip(name))
		}
	}
	return nil
}

func codeFormats(c coder, list *[]uint64) {
	codeList(c, "formats", list, 16, func(c coder, n *uint64) { c.uint("", n) })
}
