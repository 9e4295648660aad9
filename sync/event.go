package syncer

import "replicator/oplog"

// An Event is something that happened: a message, the end of an action, time.
type Event interface{ event() }

type (
	// Connected tells that messages flow, for the first time or again, and how
	// many bytes the server lets into one.
	Connected struct{ MaxPayload uint64 }

	// Disconnected tells that nothing can be sent until Connected.
	Disconnected struct{}

	// Tick tells that the time asked for with WakeAt has come. A tick too many
	// does no harm.
	Tick struct{}

	// Heard is a message from the network. From is the node that the subject
	// names: it is empty for an answer in our reply space. Reply is where the
	// sender wants answers.
	Heard struct {
		From    string
		Bucket  string
		Reply   string
		Message oplog.Message
		Size    int // bytes of the body
	}

	// NoResponders tells that nobody listened for a message of the session: its
	// peer has gone, or its connection.
	NoResponders struct{ Session uint64 }

	// Lost tells that messages were dropped before they got here. An empty
	// Bucket stands for all.
	Lost struct{ Bucket string }

	// Joined tells that the store holds the bucket and carries out what is asked
	// for it: each bucket is told of once, at the start too.
	Joined struct{ Bucket string }

	// Parting tells that the bucket is to be left once others have what it holds now:
	// see Engine.Lacking. From then on nobody else can count on this node for it. A
	// HandOver of nothing takes it back.
	Parting struct{ Bucket string }

	// Left tells that the bucket is to be held no more. From then on nothing is
	// asked for it until it is Joined again; what was asked before has to have ended
	// by then. It is not joined for being heard of.
	Left struct {
		Bucket string
		Wrote  oplog.Clock // by this node, in all its lives
	}

	// Synced tells that the durable state of the bucket has moved.
	Synced struct{ Bucket string }

	// SyncNow asks for a handshake with every live peer, and for theirs with us.
	SyncNow struct{}

	// Retirements tells who has left or was forgotten: all of them, whenever that
	// may have changed. The map must not change any more.
	Retirements struct{ Nodes map[string]Retired }

	// Finals tells the last seqs, by bucket, of origins that are written no more:
	// all that the fleet's bucket holds, whenever they may have changed. The map
	// must not change any more.
	Finals struct{ Clocks map[string]oplog.Clock }

	// HandOver asks the live members to say that they have what these buckets
	// hold durably now. See Engine.Lacking.
	HandOver struct{ Buckets []string }

	// Stopping asks for the last heartbeat. Only Synced and Tick may follow.
	Stopping struct{}

	// LiveApplied ends ApplyLive actions: Size is the sum of theirs. With Err
	// set nothing was merged.
	LiveApplied struct {
		Bucket string
		Size   int
		Err    error
	}

	// PageApplied ends an ApplyPage action.
	PageApplied struct {
		Bucket  string
		Session uint64
		Number  uint64
		Changed int // rows that are others now
		Err     error
	}

	// PullEnded ends an EndPull action.
	PullEnded struct {
		Bucket  string
		Session uint64
		Err     error
	}

	// Wiped ends a Wipe action. All that was asked of the bucket's store before
	// has ended, too.
	Wiped struct {
		Bucket string
		Err    error
	}

	// SnapshotOpened ends an OpenSnapshot action. All in it comes from the one
	// snapshot, whose own writes are on disk.
	SnapshotOpened struct {
		Session uint64
		Clock   oplog.Clock
		Ahead   oplog.Clock
		GCV     oplog.Clock // the gate
		GCTS    oplog.HLC   // the guard
		HLC     oplog.HLC
		Rows    uint64
		Sums    *[oplog.HashParts]uint64 // of the row hashes
		Bad     []uint64                 // parts known to hold bad rows, ascending
		Err     error
	}

	// PageRead ends a ReadPage action. Last is the key of the last row that was
	// looked at in key order, sent or not. End tells that nothing follows.
	PageRead struct {
		Session uint64
		Entries []oplog.Entry
		Size    int
		Last    []byte
		End     bool
		Err     error
		Corrupt bool // Err says that a row is not what was written
	}

	// Scrubbed ends a Scrub action.
	Scrubbed struct {
		Bucket string
		Soon   bool // as that of the action
		Err    error
	}

	// Suspect tells that a row of the bucket could not be read: it is not what was
	// written.
	Suspect struct{ Bucket string }

	// ScrubNow asks for all rows of the bucket to be read.
	ScrubNow struct{ Bucket string }

	// RepairNow asks for all rows of the bucket to be read and for what is bad or
	// diverges to be fetched from the peers.
	RepairNow struct{ Bucket string }

	// AcceptDoubt lets a reconcile that waits remove what it was found to remove, if
	// that is at most so much, or a replica empty what waits for that: see
	// BucketStatus.Doubt. It does nothing if nothing of the kind waits.
	AcceptDoubt struct {
		Bucket  string
		Most    uint64
		Empties bool
	}
)

func (Connected) event()      {}
func (Disconnected) event()   {}
func (Tick) event()           {}
func (Heard) event()          {}
func (NoResponders) event()   {}
func (Lost) event()           {}
func (Joined) event()         {}
func (Parting) event()        {}
func (Left) event()           {}
func (Synced) event()         {}
func (SyncNow) event()        {}
func (Retirements) event()    {}
func (Finals) event()         {}
func (HandOver) event()       {}
func (Stopping) event()       {}
func (LiveApplied) event()    {}
func (PageApplied) event()    {}
func (PullEnded) event()      {}
func (Wiped) event()          {}
func (SnapshotOpened) event() {}
func (PageRead) event()       {}
func (Scrubbed) event()       {}
func (Suspect) event()        {}
func (ScrubNow) event()       {}
func (RepairNow) event()      {}
func (AcceptDoubt) event()    {}
