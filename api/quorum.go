package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"replicator/oplog"
)

// ErrTooFew reports that more nodes are to have a write than members hold the bucket.
var ErrTooFew = &Error{"too_few", 409, "fewer members hold the bucket than are to have the write"}

// A Quorum says which members of the fleet are to have a write on their disks. The
// zero value is all of them that hold the bucket.
type Quorum struct {
	names  []string // these, whoever else has it
	number int      // so many
	share  int      // so many in a hundred
}

// maxNames bounds how many nodes one request has asked.
const maxNames = 1024

var errQuorum = errors.New("want all, a number, a share up to 100%, or nodes with commas")

// ParseQuorum reads all, a number as 2, a share as 50%, or nodes by name as a,b.
func ParseQuorum(text string) (Quorum, error) {
	first, _, _ := strings.Cut(text, ",")
	if _, err := strconv.Atoi(strings.TrimSuffix(first, "%")); errors.Is(err, strconv.ErrSyntax) && text != "" && text != "all" {
		return namedQuorum(text)
	}
	number, share := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	switch {
	case text == "all":
		return Quorum{}, nil
	case err != nil || n < 1 || share && n > 100:
		return Quorum{}, errQuorum
	case share:
		return Quorum{share: n}, nil
	}
	return Quorum{number: n}, nil
}

func namedQuorum(text string) (Quorum, error) {
	var q Quorum
	for name := range strings.SplitSeq(text, ",") {
		if !oplog.ValidName(name) {
			return Quorum{}, fmt.Errorf("no node is named %q", clip(name))
		}
		if !slices.Contains(q.names, name) {
			q.names = append(q.names, name)
		}
		if len(q.names) > maxNames {
			return Quorum{}, fmt.Errorf("more than %d nodes", maxNames)
		}
	}
	return q, nil
}

// Choose returns which members of a bucket to ask, and how many of them have to have
// the write. Those that have left, or count no more, are left out. ErrNoBucket if no
// member holds the bucket, ErrTooFew if more are wanted than do. Nodes that were
// named are asked whatever is known of them.
func (q Quorum) Choose(bucket string, members []MemberStatus) (nodes []string, enough int, err error) {
	if q.names != nil {
		return slices.Clone(q.names), len(q.names), nil
	}
	for _, m := range members {
		gone := m.State == "left" || m.State == "forgotten" || m.State == "evicted"
		if !gone && slices.Contains(m.Buckets, bucket) {
			nodes = append(nodes, m.Node)
		}
	}
	switch {
	case len(nodes) == 0:
		return nil, 0, ErrNoBucket.With("%s: no member holds bucket %s", ErrNoBucket.Text, bucket)
	case q.number > len(nodes):
		return nil, 0, ErrTooFew.With("only %d of the members hold the bucket", len(nodes))
	case q.number > 0:
		return nodes, q.number, nil
	case q.share > 0:
		return nodes, (len(nodes)*q.share + 99) / 100, nil
	}
	return nodes, len(nodes), nil
}

// Hold asks the members of a bucket that q wants, all at once, and returns as soon as
// enough of them say yes, all have answered, or ctx ends. It returns once each ask
// has.
func (q Quorum) Hold(ctx context.Context, bucket string, members []MemberStatus, ask func(ctx context.Context, node string) error) (Holding, error) {
	nodes, enough, err := q.Choose(bucket, members)
	if err != nil {
		return Holding{}, err
	}
	return hold(ctx, nodes, enough, ask), nil
}

// A Holding is who has writes on its disk, and why the others are not known to.
type Holding struct {
	Nodes   []string         // in the order in which they said so
	Missing map[string]error // by node
	Wanted  int              // how many were to have them
}

// Enough reports whether so many have the writes as were wanted to.
func (h *Holding) Enough() bool { return len(h.Nodes) >= h.Wanted }

func hold(ctx context.Context, nodes []string, enough int, ask func(ctx context.Context, node string) error) Holding {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		node string
		err  error
	}
	answers := make(chan answer, len(nodes))
	for _, node := range nodes {
		go func() { answers <- answer{node, ask(ctx, node)} }()
	}
	h := Holding{Missing: map[string]error{}, Wanted: enough}
	for range nodes {
		a := <-answers
		switch {
		case a.err == nil:
			h.Nodes = append(h.Nodes, a.node)
		case h.Enough() && (errors.Is(a.err, context.Canceled) || errors.Is(a.err, ErrBehind)): // it was stopped
		default:
			h.Missing[a.node] = a.err
		}
		if h.Enough() {
			cancel() // the others need not answer
		}
	}
	return h
}

// A HeldBy is a Holding as it is told.
type HeldBy struct {
	Enough  bool              `json:"enough"`  // so many as were wanted to
	Reached []string          `json:"reached"` // who has it on disk, by name
	Missing map[string]string `json:"missing"` // why the others are not known to
	// NotAsked is why nobody was asked, of a write that is done all the same.
	NotAsked string `json:"not_asked,omitempty"`
}

// Told returns the holding for people and programs elsewhere.
func (h *Holding) Told() HeldBy {
	told := HeldBy{Enough: h.Enough(), Reached: slices.Sorted(slices.Values(h.Nodes)), Missing: map[string]string{}}
	if told.Reached == nil {
		told.Reached = []string{}
	}
	for node, err := range h.Missing {
		told.Missing[node] = whyMissing(err)
	}
	return told
}

// whyMissing keeps the words of a node that answered, and of a server that lets none.
func whyMissing(err error) string {
	_, answered := errors.AsType[*Error](err)
	if answered || errors.Is(err, ErrNoReplies) || errors.Is(err, nats.ErrPermissionViolation) {
		return err.Error()
	}
	return "no answer"
}

// A HeldResult is what held answers.
type HeldResult struct {
	V    int    `json:"v"`
	Node string `json:"node"` // the one that asked the others
	HeldBy
}

// A heldBody asks who has writes on disk.
type heldBody struct {
	V      int    `json:"v"`
	Tokens string `json:"tokens"` // with commas
	Wait   string `json:"wait"`   // as ParseQuorum takes it
}

// held has this node ask the members, itself among them.
func (h *Handlers) held(ctx context.Context, r *request) (*reply, error) {
	if err := userBucket(r); err != nil {
		return nil, err
	}
	body := heldBody{Wait: "all"}
	if err := strictJSON(r.body, &body); err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	tokens, err := ParseTokens(body.Tokens)
	if err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	q, err := ParseQuorum(body.Wait)
	if err != nil {
		return nil, ErrBadRequest.With("wait %q: %s", clip(body.Wait), err)
	}
	res, err := h.hold(ctx, r.bucket, q, tokens)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(res)}, nil
}

func (h *Handlers) hold(ctx context.Context, bucket string, q Quorum, tokens []oplog.Dot) (HeldResult, error) {
	ctx, cancel := withRoom(ctx)
	defer cancel()
	holding, err := h.backend.Held(ctx, bucket, q, tokens)
	if err != nil {
		return HeldResult{}, err
	}
	return HeldResult{V: 1, Node: h.backend.Name(), HeldBy: holding.Told()}, nil
}

// CanHold refuses a write of which more nodes are to have a copy than hold the
// bucket, as far as this node knows: ErrTooFew.
func (h *Handlers) CanHold(ctx context.Context, bucket string, q Quorum) error {
	_, _, err := q.Choose(bucket, h.backend.Status(ctx).Members)
	if err == nil || errors.Is(err, ErrNoBucket) {
		return nil // it may be made; if not, the write itself says so
	}
	return AsError(err)
}

// Held waits until the members that q wants have the writes on their disks, ctx ends,
// or no other can be had. The result tells which it was.
func (h *Handlers) Held(ctx context.Context, bucket string, q Quorum, tokens ...oplog.Dot) (HeldResult, error) {
	if err := h.begin(ctx, bucket, ""); err != nil {
		return HeldResult{}, AsError(err)
	}
	res, err := h.hold(ctx, bucket, q, tokens)
	if err != nil {
		return res, AsError(err)
	}
	return res, nil
}
