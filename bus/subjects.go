package bus

import "strings"

// DefaultPrefix is the first token of every subject unless told otherwise.
const DefaultPrefix = "replicator"

// Fleet is the bucket of the fleet itself: heartbeats and requests that belong
// to no single bucket travel under it, and it replicates settings like any
// bucket does. No user bucket can take the name.
const Fleet = "_fleet"

// Subjects builds and parses every subject of the protocol. The zero value
// uses DefaultPrefix. Building does not check names, so callers check them once
// with ValidNode and ValidBucket; parsing is strict, and gives back only what
// those would accept.
type Subjects struct{ Prefix string }

func (s Subjects) prefix() string {
	if s.Prefix == "" {
		return DefaultPrefix
	}
	return s.Prefix
}

func (s Subjects) join(tokens ...string) string {
	return s.prefix() + "." + strings.Join(tokens, ".")
}

// Live is where the master node publishes its own new writes.
func (s Subjects) Live(bucket, node string) string { return s.join(bucket, "live", node) }

// LiveAll matches the live subjects of every master of bucket.
func (s Subjects) LiveAll(bucket string) string { return s.join(bucket, "live", "*") }

// Heartbeat is where node publishes its heartbeat.
func (s Subjects) Heartbeat(node string) string { return s.join(Fleet, "clock", node) }

// HeartbeatAll matches the heartbeats of all nodes.
func (s Subjects) HeartbeatAll() string { return s.join(Fleet, "clock", "*") }

// Sync is where requester asks responder. The requester stands in the subject
// so that a broker's permissions decide who may ask in whose name.
func (s Subjects) Sync(bucket, responder, requester string) string {
	return s.join(bucket, "sync", responder, requester)
}

// SyncTo matches all that is asked of responder, in any bucket.
func (s Subjects) SyncTo(responder string) string { return s.join("*", "sync", responder, "*") }

// Reply is one address in the closed reply space of node. The id is one or
// more tokens.
func (s Subjects) Reply(node, id string) string { return s.join("reply", node, id) }

// ReplyAll matches the whole reply space of node.
func (s Subjects) ReplyAll(node string) string { return s.join("reply", node, ">") }

// API is a verb of the data API at node, or at any node for the name "any".
func (s Subjects) API(bucket, node, verb string) string { return s.join(bucket, "api", node, verb) }

// APIAll matches one verb at node, in any bucket.
func (s Subjects) APIAll(node, verb string) string { return s.join("*", "api", node, verb) }

// APIReply is the inbox prefix of one API client.
func (s Subjects) APIReply(token string) string { return s.join("apireply", token) }

// Event is where node publishes typed events of one kind.
func (s Subjects) Event(bucket, kind, node string) string { return s.join(bucket, "event", kind, node) }

// EventAll matches all events of bucket.
func (s Subjects) EventAll(bucket string) string { return s.join(bucket, "event", "*", "*") }

// Contains reports whether subject lies inside the prefix.
func (s Subjects) Contains(subject string) bool {
	_, ok := s.rest(subject)
	return ok
}

// ParseLive takes a subject built by Live apart.
func (s Subjects) ParseLive(subject string) (bucket, node string, ok bool) {
	var t [3]string
	if !s.split(subject, t[:]) || t[1] != "live" || !knownBucket(t[0]) || ValidNode(t[2]) != nil {
		return "", "", false
	}
	return t[0], t[2], true
}

// ParseHeartbeat takes a subject built by Heartbeat apart.
func (s Subjects) ParseHeartbeat(subject string) (node string, ok bool) {
	var t [3]string
	if !s.split(subject, t[:]) || t[0] != Fleet || t[1] != "clock" || ValidNode(t[2]) != nil {
		return "", false
	}
	return t[2], true
}

// ParseSync takes a subject built by Sync apart.
func (s Subjects) ParseSync(subject string) (bucket, responder, requester string, ok bool) {
	var t [4]string
	if !s.split(subject, t[:]) || t[1] != "sync" || !knownBucket(t[0]) ||
		ValidNode(t[2]) != nil || ValidNode(t[3]) != nil {
		return "", "", "", false
	}
	return t[0], t[2], t[3], true
}

// ParseReply takes a subject built by Reply apart.
func (s Subjects) ParseReply(subject string) (node, id string, ok bool) {
	rest, ok := s.rest(subject)
	if !ok {
		return "", "", false
	}
	rest, ok = strings.CutPrefix(rest, "reply.")
	if !ok {
		return "", "", false
	}
	node, id, ok = strings.Cut(rest, ".")
	if !ok || ValidNode(node) != nil || !validReplyID(id) {
		return "", "", false
	}
	return node, id, true
}

// ParseAPI takes a subject built by API apart; node may be "any".
func (s Subjects) ParseAPI(subject string) (bucket, node, verb string, ok bool) {
	var t [4]string
	if !s.split(subject, t[:]) || t[1] != "api" || !knownBucket(t[0]) || !token(t[3]) {
		return "", "", "", false
	}
	if t[2] != "any" && ValidNode(t[2]) != nil {
		return "", "", "", false
	}
	return t[0], t[2], t[3], true
}

// ParseEvent takes a subject built by Event apart.
func (s Subjects) ParseEvent(subject string) (bucket, kind, node string, ok bool) {
	var t [4]string
	if !s.split(subject, t[:]) || t[1] != "event" || !knownBucket(t[0]) || !token(t[2]) || ValidNode(t[3]) != nil {
		return "", "", "", false
	}
	return t[0], t[2], t[3], true
}

// classify tells which kind of traffic a subject or a subscription's pattern
// belongs to, as far as it can be told: it serves error messages of the server.
func (s Subjects) classify(subject string) (kind Kind, bucket string) {
	rest, ok := s.rest(subject)
	if !ok {
		return 0, ""
	}
	first, rest, _ := strings.Cut(rest, ".")
	if first == "reply" {
		return KindReply, ""
	}
	if first != "*" {
		bucket = first
	}
	second, _, _ := strings.Cut(rest, ".")
	switch second {
	case "live":
		return KindLive, bucket
	case "clock":
		return KindHeartbeat, bucket
	case "sync":
		return KindSync, bucket
	case "event":
		return KindEvent, bucket
	}
	return 0, bucket
}

func (s Subjects) rest(subject string) (string, bool) {
	rest, ok := strings.CutPrefix(subject, s.prefix())
	if !ok {
		return "", false
	}
	return strings.CutPrefix(rest, ".")
}

// split fills into with the tokens behind the prefix; there have to be exactly
// that many.
func (s Subjects) split(subject string, into []string) bool {
	rest, ok := s.rest(subject)
	if !ok {
		return false
	}
	for i := range len(into) - 1 {
		if into[i], rest, ok = strings.Cut(rest, "."); !ok {
			return false
		}
	}
	into[len(into)-1] = rest
	return !strings.Contains(rest, ".")
}
