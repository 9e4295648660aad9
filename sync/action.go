package syncer

import (
	"time"

	"replicator/oplog"
)

// An Action is something the engine wants done. Actions are carried out in
// order; those on one bucket's store one after the other.
type Action interface{ action() }

type (
	// Beat publishes a heartbeat.
	Beat struct{ Message *oplog.Heartbeat }

	// Send puts a message on the sync subject of a peer, from which it answers
	// into our reply space under the session's name.
	Send struct {
		To      string
		Bucket  string
		Session uint64
		Message oplog.Message
	}

	// Answer puts a message into the reply space of a peer.
	Answer struct {
		Reply   string
		Message oplog.Message
	}

	// ApplyLive merges live messages that continue the clock. LiveApplied
	// follows; several actions may share one.
	ApplyLive struct {
		Bucket  string
		Message *oplog.Live
		Size    int
	}

	// ApplyPage merges a page and stores the token, if any, with it.
	// PageApplied follows.
	ApplyPage struct {
		Bucket  string
		Session uint64
		Number  uint64
		Entries []oplog.Entry
		Token   *Token
		Rec     *Reconcile // set if the page belongs to a reconcile
		Repair  *Repair    // set if the page belongs to a repair: covered rows count, too
	}

	// EndPull joins the claim into the clock, the donor's extras into ours, and
	// drops the token; a reconcile also carries out what it has found, unless that
	// would remove many rows that Accept does not name. PullEnded follows, with a
	// *DoubtfulError then.
	EndPull struct {
		Bucket  string
		Session uint64
		Claim   oplog.Clock
		Ahead   oplog.Clock
		Gate    *Gate
		Rec     *Reconcile
		Accept  Consent
	}

	// OpenSnapshot opens a snapshot for a puller and makes sure that no own
	// write in it is above the durable watermark. SnapshotOpened follows.
	OpenSnapshot struct {
		Bucket  string
		Session uint64
	}

	// ReadPage reads the next entries of a snapshot with seq above the clock,
	// about Limit bytes of them but at least one. If it has to look at very many
	// rows it may come back without any before the end. PageRead follows.
	ReadPage struct {
		Session  uint64
		KeyOrder bool
		Above    oplog.Clock            // only read by the first page of a session
		After    []byte                 // likewise
		Wanted   *[oplog.HashParts]bool // likewise: only rows of these parts, bad ones left out; nil: all
		Whole    bool                   // likewise: of a reconcile; all rows are counted, and their sums must be those stored
		Rest     bool                   // the stream is cut: count the rows that are left, and bring none
		Limit    int
	}

	// CloseSnapshot ends a session's snapshot. Reading it may still be under
	// way: its PageRead is ignored.
	CloseSnapshot struct{ Session uint64 }

	// ShrinkFrames makes large bodies travel in smaller frames: pages have been
	// lost again and again, as on a hop that takes less than it says.
	ShrinkFrames struct{}

	// Collect drops tombstones and expired rows that all members have: those
	// under Stable with timestamps up to Upto.
	Collect struct {
		Bucket string
		Stable oplog.Clock
		Upto   oplog.HLC
	}

	// Scrub reads all rows of the bucket, compares each with its hash and makes the
	// sums those of the rows: fast if Soon, else in the background. Scrubbed
	// follows.
	Scrub struct {
		Bucket string
		Soon   bool
	}
	// Wipe empties the bucket of a replica, unless it has taken more by then than
	// Clock and Ahead say; a nil Clock is no bound. Wiped follows.
	Wipe struct {
		Bucket       string
		Clock, Ahead oplog.Clock
	}

	// TellFinals puts the last seqs of origins that are written no more on the
	// list in Fleet. Finals follows.
	TellFinals struct {
		Bucket string
		Finals oplog.Clock
	}

	// SaveMember keeps what is known of a member over a restart.
	SaveMember struct{ Member Member }

	// JoinBucket makes the store hold a bucket heard of. Joined follows.
	JoinBucket struct{ Bucket string }

	// Fence ends local writes until the node is renamed or started again.
	Fence struct{ Reason string }

	// NewEpoch gives up the origin being written: the next local write draws a
	// new epoch. Another instance with our name may be writing under it.
	NewEpoch struct{}

	// Raise tells people of something. Text is a sentence, Peer who it is about.
	Raise struct {
		Kind   EventKind
		Bucket string
		Peer   string
		Text   string
	}

	// WakeAt asks for a Tick at that time. It replaces the one asked for before.
	WakeAt struct{ Time time.Time }
)

// A Token is how far a pull in key order has come: every write under Claim
// whose key is at most Cursor is here, or one that beat it.
type Token struct {
	Cursor []byte
	Claim  oplog.Clock
	Ahead  oplog.Clock // likewise the donors' extras, which nothing promises
	Gate   *Gate       // set if the pull is a reconcile
}

// A Gate is up to where tombstones were collected: what the puller of a
// reconcile takes over when it ends.
type Gate struct {
	GCV  oplog.Clock
	GCTS oplog.HLC
}

// A Reconcile says of which snapshot a page is, and behind which key it begins.
type Reconcile struct {
	After []byte
	Clock oplog.Clock // of the donor's snapshot
	GCTS  oplog.HLC   // likewise, its guard
	HLC   oplog.HLC   // likewise, the highest timestamp it knows
}

// An EventKind names what Raise tells of; it is a token of a subject.
type EventKind string

// The kinds of events.
const (
	EventDuplicate  EventKind = "duplicate"   // another running instance bears our name
	EventCloned     EventKind = "cloned"      // two running instances bear the name of a peer
	EventRestored   EventKind = "restored"    // a node came back with an older disk, a new one or a copy
	EventCatchingUp EventKind = "catching_up" // live writes came faster than they were taken
	EventCaughtUp   EventKind = "caught_up"   // the bucket follows live again
	EventReconcile  EventKind = "reconcile"   // all rows are compared with a donor that collected deletes we never saw
	EventReconciled EventKind = "reconciled"  // that has ended
	EventDoubtful   EventKind = "doubtful"    // it would remove many rows, and waits for somebody else who says so
	EventUnsettled  EventKind = "unsettled"   // a replica waits until a master has all of it, to be emptied then
	EventWiped      EventKind = "wiped"       // a replica empties the bucket, to fill it anew
	EventDivergence EventKind = "divergence"  // equal clocks, unequal rows
	EventRepaired   EventKind = "repaired"    // rows were put right from a peer
	EventOverdue    EventKind = "overdue"     // a member is silent
	EventEvicted    EventKind = "evicted"     // for so long that tombstones are collected without it
	EventReturned   EventKind = "returned"    // one that was overdue or evicted is heard again
	EventLeft       EventKind = "left"        // a member has left for good
	EventForgotten  EventKind = "forgotten"   // an operator has retired a member
	EventReadmitted EventKind = "readmitted"  // and has taken that back
)

func (Beat) action()          {}
func (NewEpoch) action()      {}
func (Send) action()          {}
func (Answer) action()        {}
func (ApplyLive) action()     {}
func (ApplyPage) action()     {}
func (EndPull) action()       {}
func (OpenSnapshot) action()  {}
func (TellFinals) action()    {}
func (ReadPage) action()      {}
func (CloseSnapshot) action() {}
func (ShrinkFrames) action()  {}
func (Collect) action()       {}
func (Scrub) action()         {}
func (Wipe) action()          {}
func (SaveMember) action()    {}
func (JoinBucket) action()    {}
func (Fence) action()         {}
func (Raise) action()         {}
func (WakeAt) action()        {}
