package bus

// A Kind tells what a message is for.
type Kind int

// The kinds of traffic. Events are only published, never received.
const (
	KindLive Kind = iota + 1
	KindHeartbeat
	KindSync
	KindReply
	KindEvent

	kinds
)

func (k Kind) String() string {
	switch k {
	case KindLive:
		return "live"
	case KindHeartbeat:
		return "heartbeat"
	case KindSync:
		return "sync"
	case KindReply:
		return "reply"
	case KindEvent:
		return "event"
	}
	return "other"
}

// A Message is a whole body that arrived, with what its subject tells.
type Message struct {
	Kind Kind
	// Bucket is set for KindLive and KindSync, and may be Fleet.
	Bucket string
	// From is the node in the subject: the publisher of a live message or a
	// heartbeat, the requester of a sync request. Empty for KindReply. It may
	// be this node: own live messages and heartbeats come back, which shows
	// another instance under the same name.
	From string
	// ID is what stands behind the own node's name in a reply's subject.
	ID string
	// Reply is where to answer a sync request, inside the reply space of From;
	// empty if no answer is wanted.
	Reply string
	// NoResponders tells that the server found nobody who listens where the
	// request with this reply went. There is no Body then.
	NoResponders bool
	// Body is whole and belongs to the receiver.
	Body    []byte
	Subject string
}
