package bus

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// maxName bounds the names of nodes, buckets, kinds and verbs.
	maxName = 64
	// maxPrefix and maxReplyID keep a subject far below the 4,096 bytes which
	// a server takes for one control line (subject, reply and sizes together).
	maxPrefix  = 128
	maxReplyID = 256
)

const (
	ruleToken  = "1 to 64 of A-Z a-z 0-9 _ -"
	rulePrefix = "tokens joined by dots, no wildcard or space, not beginning with $ or _INBOX, at most 128 bytes"
)

// reservedNodes would make a subject read as one of another kind.
var reservedNodes = []string{"any", "live", "clock", "sync", "api", "event"}

// reservedBuckets are the second tokens of subjects that have no bucket.
var reservedBuckets = []string{"reply", "apireply"}

// A NameError reports a name that cannot stand in a subject.
type NameError struct {
	// What is named: "node", "bucket", "prefix", "event kind", "reply id".
	What string
	Name string
	// Rule is what the name breaks, in words for whoever chose it.
	Rule string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("bus: bad %s name %q: want %s", e.What, e.Name, e.Rule)
}

// ValidNode checks the name of a node.
func ValidNode(name string) error {
	if !token(name) {
		return &NameError{What: "node", Name: name, Rule: ruleToken}
	}
	if slices.Contains(reservedNodes, name) {
		return &NameError{What: "node", Name: name, Rule: "a name other than " + strings.Join(reservedNodes, ", ")}
	}
	return nil
}

// ValidBucket checks the name of a user's bucket. Fleet is not one.
func ValidBucket(name string) error {
	if !token(name) {
		return &NameError{What: "bucket", Name: name, Rule: ruleToken}
	}
	if name[0] == '_' {
		return &NameError{What: "bucket", Name: name, Rule: "a name that does not begin with _"}
	}
	if slices.Contains(reservedBuckets, name) {
		return &NameError{What: "bucket", Name: name, Rule: "a name other than " + strings.Join(reservedBuckets, ", ")}
	}
	return nil
}

// ValidBuckets checks what names buckets of users: a name, or with a * at its end all
// names that begin so.
func ValidBuckets(pattern string) error {
	stem, many := strings.CutSuffix(pattern, "*")
	if many && (stem == "" || token(stem) && stem[0] != '_') {
		return nil
	}
	if many {
		return &NameError{What: "bucket", Name: pattern, Rule: ruleToken + ", and a * at its end for all that begin so"}
	}
	return ValidBucket(pattern)
}

// Among reports whether a pattern as ValidBuckets takes it names the bucket.
func Among(pattern, bucket string) bool {
	stem, many := strings.CutSuffix(pattern, "*")
	return bucket == pattern || many && strings.HasPrefix(bucket, stem)
}

// ValidPrefix checks the prefix of all subjects.
func ValidPrefix(p string) error {
	bad := &NameError{What: "prefix", Name: p, Rule: rulePrefix}
	if len(p) > maxPrefix || strings.HasPrefix(p, "$") || strings.HasPrefix(p, "_INBOX") {
		return bad
	}
	for t := range strings.SplitSeq(p, ".") {
		if t == "" || strings.ContainsFunc(t, notInPrefix) {
			return bad
		}
	}
	return nil
}

func notInPrefix(r rune) bool { return r <= ' ' || r >= 0x7f || r == '*' || r == '>' }

// checkBucket takes the fleet's own bucket as well as those of users.
func checkBucket(name string) error {
	if name == Fleet {
		return nil
	}
	return ValidBucket(name)
}

func knownBucket(name string) bool { return checkBucket(name) == nil }

func validReplyID(id string) bool {
	if len(id) > maxReplyID {
		return false
	}
	for t := range strings.SplitSeq(id, ".") {
		if !token(t) {
			return false
		}
	}
	return true
}

func token(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
