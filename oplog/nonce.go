package oplog

import (
	"encoding/hex"
	"fmt"
)

// A Nonce tells running instances apart: 128 random bits, drawn at each start
// of a process. The zero Nonce belongs to nobody.
type Nonce [16]byte

// String returns the nonce as 32 hex digits.
func (n Nonce) String() string { return hex.EncodeToString(n[:]) }

// IsZero reports whether n belongs to nobody.
func (n Nonce) IsZero() bool { return n == Nonce{} }

// ParseNonce reads what Nonce.String wrote.
func ParseNonce(s string) (Nonce, error) {
	var n Nonce
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(n) {
		return n, fmt.Errorf("nonce %q: want 32 hex digits", clip(s))
	}
	copy(n[:], b)
	return n, nil
}
