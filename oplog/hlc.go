package oplog

import (
	"fmt"
	"time"
)

// hlcBits is how many low bits of an HLC count events within a millisecond.
const hlcBits = 16

// An HLC is a reading of a hybrid logical clock (Kulkarni et al., "Logical
// Physical Clocks", 2014): milliseconds since 1970 in the upper 48 bits, a
// counter in the lower 16. Adding one is always allowed: a counter that runs
// over carries into the milliseconds.
type HLC uint64

// maxMillis is the last millisecond that fits: in the year 10889.
const maxMillis = 1<<(64-hlcBits) - 1

// HLCAt returns the reading of a wall clock at t, with a zero counter. Times
// before 1970 read as zero, times that do not fit as the last that does.
func HLCAt(t time.Time) HLC { return hlcOf(t.UnixMilli(), 0) }

func hlcOf(ms int64, counter HLC) HLC {
	switch {
	case ms < 0:
		return 0
	case ms > maxMillis:
		return 1<<64 - 1
	}
	return HLC(ms)<<hlcBits | counter
}

// String returns h as 16 hex digits, which sort as the readings do.
func (h HLC) String() string { return fmt.Sprintf("%016x", uint64(h)) }

// ParseHLC reads what HLC.String wrote.
func ParseHLC(s string) (HLC, error) {
	n, err := parseHex64(s)
	if err != nil {
		return 0, fmt.Errorf("hlc %w", err)
	}
	return HLC(n), nil
}

// MarshalText returns what String does.
func (h HLC) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *HLC) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHLC(string(text))
	return err
}

// Time returns the wall-clock part of h, in UTC, to the millisecond.
func (h HLC) Time() time.Time { return time.UnixMilli(h.Millis()).UTC() }

// Millis returns the wall-clock part of h in milliseconds since 1970.
func (h HLC) Millis() int64 { return int64(h >> hlcBits) }

// Add returns h moved by d, never below zero and never round the end.
func (h HLC) Add(d time.Duration) HLC {
	return hlcOf(h.Millis()+d.Milliseconds(), h&(1<<hlcBits-1))
}
