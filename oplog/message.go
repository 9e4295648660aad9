package oplog

import "fmt"

// A Kind tells the messages apart on the wire. Numbers are never used again.
type Kind uint16

// The kinds of messages.
const (
	KindLive Kind = iota + 1
	KindHeartbeat
	KindHello
	KindHelloReply
	KindCompare
	KindDiffer
	KindPull
	KindBegin
	KindPage
	KindEnd
	KindAck
	KindBusy
	KindAbort
	KindReport
	KindParts
	KindWait
)

var kindNames = map[Kind]string{
	KindLive: "live", KindHeartbeat: "heartbeat", KindHello: "hello", KindHelloReply: "hello_reply",
	KindCompare: "compare", KindDiffer: "differ", KindPull: "pull", KindBegin: "begin", KindPage: "page",
	KindEnd: "end", KindAck: "ack", KindBusy: "busy", KindAbort: "abort",
	KindReport: "report", KindParts: "parts", KindWait: "wait",
}

// String returns the kind's name, as JSON bodies carry it.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", uint16(k))
}

func parseKind(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return k
		}
	}
	return 0
}

// A Message is what masters send each other: one of the types of this package.
type Message interface {
	kind() Kind
	code(c coder)
	check() error
}

// KindOf returns which message m is.
func KindOf(m Message) Kind { return m.kind() }

func newMessage(k Kind) (Message, error) {
	switch k {
	case KindLive:
		return new(Live), nil
	case KindHeartbeat:
		return new(Heartbeat), nil
	case KindHello:
		return new(Hello), nil
	case KindHelloReply:
		return new(HelloReply), nil
	case KindCompare:
		return new(Compare), nil
	case KindDiffer:
		return new(Differ), nil
	case KindPull:
		return new(Pull), nil
	case KindBegin:
		return new(Begin), nil
	case KindPage:
		return new(Page), nil
	case KindEnd:
		return new(End), nil
	case KindAck:
		return new(Ack), nil
	case KindBusy:
		return new(Busy), nil
	case KindAbort:
		return new(Abort), nil
	case KindReport:
		return new(Report), nil
	case KindParts:
		return new(Parts), nil
	case KindWait:
		return new(Wait), nil
	}
	return nil, fmt.Errorf("%w: %s", ErrKind, k)
}
