package api

import (
	"context"
	"fmt"
	"time"

	"replicator/bus"
)

// The errors that concern members.
var (
	ErrNoMember      = &Error{"no_member", 404, "no such member"}
	ErrMemberLive    = &Error{"member_live", 409, "the member is running"}
	ErrReplicaStays  = &Error{"replica_stays", 409, "a replica does not leave: stop it, and have a master forget it"}
	ErrNotHandedOver = &Error{"not_handed_over", 409, "others lack writes of the node"}
	ErrRetired       = &Error{"retired", 423, "the node is no member any more"}
)

// A MemberStatus tells how a member of the fleet stands, as one node has heard.
type MemberStatus struct {
	Node      string    `json:"node"`
	Role      string    `json:"role"`                 // master or replica
	State     string    `json:"state"`                // live, stopped, overdue, evicted, left or forgotten
	LastHeard time.Time `json:"last_heard"`           // zero: never
	Buckets   []string  `json:"buckets"`              // that it holds
	HoldsUp   []string  `json:"holds_up"`             // of those, where deletes are remembered because it may not know of them
	RetiredBy string    `json:"retired_by,omitempty"` // the node that was told, of one that left or was forgotten
	RetiredAt time.Time `json:"retired_at,omitzero"`  // and when
	ThisNode  bool      `json:"this_node,omitempty"`  // the one that tells
}

// A memberBody asks for something that concerns a member.
type memberBody struct {
	V     int    `json:"v"`
	Node  string `json:"node,omitempty"`
	Force bool   `json:"force,omitempty"`
	Now   bool   `json:"now,omitempty"`
}

// A MemberResult tells that a member was retired or readmitted.
type MemberResult struct {
	V      int    `json:"v"`
	Node   string `json:"node"`   // the one that was told
	Member string `json:"member"` // the one it is about
}

type collectBody struct {
	V         int   `json:"v"`
	OlderThan int64 `json:"older_than_ms"`
}

// A CollectResult tells what a forced collection has dropped on one node.
type CollectResult struct {
	V       int               `json:"v"`
	Node    string            `json:"node"`
	Buckets []BucketCollected `json:"buckets"`
}

// A BucketCollected is how many rows of a bucket went.
type BucketCollected struct {
	Bucket string `json:"bucket"`
	Rows   int    `json:"rows"`
}

// leave has this node leave for good.
func (h *Handlers) leave(ctx context.Context, r *request) (*reply, error) {
	body, err := parseMember(r, false)
	if err != nil {
		return nil, err
	}
	if err := h.backend.Leave(ctx, body.Now); err != nil {
		return nil, err
	}
	return h.memberReply(h.backend.Name()), nil
}

func (h *Handlers) forget(ctx context.Context, r *request) (*reply, error) {
	body, err := parseMember(r, true)
	if err != nil {
		return nil, err
	}
	if err := h.backend.Forget(ctx, body.Node, body.Force); err != nil {
		return nil, err
	}
	return h.memberReply(body.Node), nil
}

func (h *Handlers) readmit(ctx context.Context, r *request) (*reply, error) {
	body, err := parseMember(r, true)
	if err != nil {
		return nil, err
	}
	if err := h.backend.Readmit(ctx, body.Node); err != nil {
		return nil, err
	}
	return h.memberReply(body.Node), nil
}

func (h *Handlers) memberReply(member string) *reply {
	return &reply{body: mustJSON(MemberResult{V: 1, Node: h.backend.Name(), Member: member})}
}

// parseMember reads what is asked of the fleet; named says that it has to name a
// member.
func parseMember(r *request, named bool) (memberBody, error) {
	var body memberBody
	if r.bucket != bus.Fleet {
		return body, ErrBadBucket.With("%s is about all buckets: its subject names %s", r.verb, bus.Fleet)
	}
	if err := strictJSON(r.body, &body); err != nil {
		return body, ErrBadRequest.With("%s", err)
	}
	if named {
		if err := bus.ValidNode(body.Node); err != nil {
			return body, ErrBadRequest.With("%s", err)
		}
	}
	return body, nil
}

// collect drops old deletes whoever may not know of them: rule G5.
func (h *Handlers) collect(ctx context.Context, r *request) (*reply, error) {
	bucket, err := scope(r)
	if err != nil {
		return nil, err
	}
	var body collectBody
	if err := strictJSON(r.body, &body); err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	if body.OlderThan < 0 || body.OlderThan > maxAge.Milliseconds() {
		return nil, ErrBadRequest.With("an age of %d ms", body.OlderThan)
	}
	list, err := h.backend.Collect(ctx, bucket, time.Duration(body.OlderThan)*time.Millisecond)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(CollectResult{V: 1, Node: h.backend.Name(), Buckets: list})}, nil
}

// maxAge keeps an age in milliseconds within what a Duration takes.
const maxAge = 200 * 365 * 24 * time.Hour

// Leave has a node leave the fleet for good: it takes no more writes, waits until
// the other live nodes have all it has, tells them, and stops. With now it does
// not wait. ErrNotHandedOver tells who lacks what when ctx ended; the node is
// a member as before then.
func (c *Client) Leave(ctx context.Context, node string, now bool) (MemberResult, error) {
	var res MemberResult
	m, err := c.call(ctx, bus.Fleet, node, verbLeave, mustJSON(memberBody{V: 1, Now: now}))
	if err != nil {
		return res, c.named(node, err)
	}
	return res, readReply(verbLeave, m.body, &res)
}

// Forget retires a member everywhere: it does not come back. The client's node
// is told, the others learn of it. ErrMemberLive if the member was heard lately,
// unless force says that this is known.
func (c *Client) Forget(ctx context.Context, member string, force bool) (MemberResult, error) {
	return c.tellOf(ctx, verbForget, memberBody{V: 1, Node: member, Force: force})
}

// Readmit makes one that left or was forgotten a member again. ErrNoMember if it
// is none of these.
func (c *Client) Readmit(ctx context.Context, member string) (MemberResult, error) {
	return c.tellOf(ctx, verbReadmit, memberBody{V: 1, Node: member})
}

func (c *Client) tellOf(ctx context.Context, verb string, body memberBody) (MemberResult, error) {
	var res MemberResult
	m, err := c.ask(ctx, bus.Fleet, verb, mustJSON(body))
	if err != nil {
		return res, err
	}
	return res, readReply(verb, m.body, &res)
}

// Collect has a node drop deletes older than age, in a bucket or in all where it
// is empty, whoever may not know of them.
func (c *Client) Collect(ctx context.Context, node, bucket string, age time.Duration) (CollectResult, error) {
	var res CollectResult
	if age < 0 || age > maxAge {
		return res, fmt.Errorf("collect: an age of %v", age)
	}
	if bucket == "" {
		bucket = bus.Fleet
	} else if err := bus.ValidBucket(bucket); err != nil {
		return res, ErrBadBucket.With("%s", err)
	}
	m, err := c.call(ctx, bucket, node, verbCollect, mustJSON(collectBody{V: 1, OlderThan: age.Milliseconds()}))
	if err != nil {
		return res, c.named(node, err)
	}
	return res, readReply(verbCollect, m.body, &res)
}
