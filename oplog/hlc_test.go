package oplog_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"replicator/oplog"
)

const lastHLC oplog.HLC = 1<<64 - 1

func TestHLCAtReadsMilliseconds(t *testing.T) {
	for name, c := range map[string]struct {
		at   time.Time
		want oplog.HLC
	}{
		"1970":                     {time.UnixMilli(0), 0},
		"before 1970 is zero":      {time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), 0},
		"zero time is zero":        {time.Time{}, 0},
		"one millisecond":          {time.UnixMilli(1), 1 << 16},
		"micros are dropped":       {time.UnixMicro(1999), 1 << 16},
		"2106, past 32 bits":       {time.Unix(1<<32, 0), 1 << 32 * 1000 << 16},
		"last millisecond":         {time.UnixMilli(1<<48 - 1), (1<<48 - 1) << 16},
		"10889 and later saturate": {time.UnixMilli(1 << 48), lastHLC},
		"far future saturates":     {time.UnixMilli(1<<63 - 1), lastHLC},
	} {
		t.Run(name, func(t *testing.T) {
			if got := oplog.HLCAt(c.at); got != c.want {
				t.Errorf("HLCAt(%v) = %#x, want %#x", c.at, got, c.want)
			}
		})
	}
}

func TestHLCAddMovesWithinItsRange(t *testing.T) {
	at := oplog.HLCAt(time.UnixMilli(5000))
	for name, c := range map[string]struct {
		h    oplog.HLC
		d    time.Duration
		want oplog.HLC
	}{
		"forward":           {at, time.Second, 6000 << 16},
		"back":              {at, -time.Second, 4000 << 16},
		"to zero":           {at, -5 * time.Second, 0},
		"below zero":        {at, -6 * time.Second, 0},
		"below with count":  {at + 7, -6 * time.Second, 0},
		"keeps the counter": {at + 7, time.Millisecond, 5001<<16 + 7},
		"micros do nothing": {at + 7, 999 * time.Microsecond, at + 7},
		"beyond the end":    {lastHLC, time.Hour, lastHLC},
		"onto the end":      {(1<<48 - 1) << 16, time.Millisecond, lastHLC},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.h.Add(c.d); got != c.want {
				t.Errorf("%#x.Add(%v) = %#x, want %#x", c.h, c.d, got, c.want)
			}
		})
	}
}

func TestHLCCounterCarriesIntoMilliseconds(t *testing.T) {
	h := oplog.HLCAt(time.UnixMilli(41)) + 1<<16 - 1
	if got := (h + 1).Millis(); got != 42 {
		t.Errorf("full counter plus one reads %d ms, want 42", got)
	}
	if h.Millis() != 41 {
		t.Errorf("full counter reads %d ms, want 41", h.Millis())
	}
}

func TestHLCTimeIsUTC(t *testing.T) {
	at := time.Date(2106, 2, 7, 6, 28, 16, 123e6, time.FixedZone("far", 5*3600))
	got := oplog.HLCAt(at).Time()
	if !got.Equal(at) || got.Location() != time.UTC {
		t.Errorf("Time() = %v, want %v in UTC", got, at)
	}
}

func TestHLCAddIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, i := oplog.HLC(rapid.Uint64().Draw(t, "h")), oplog.HLC(rapid.Uint64().Draw(t, "i"))
		d := time.Duration(rapid.Int64().Draw(t, "d"))
		if h <= i && h.Add(d) > i.Add(d) {
			t.Fatalf("%#x <= %#x but not moved by %v", h, i, d)
		}
		if d >= 0 && h.Add(d) < h || d <= 0 && h.Add(d) > h {
			t.Fatalf("%#x.Add(%v) = %#x goes the wrong way", h, d, h.Add(d))
		}
	})
}

func TestHLCText(t *testing.T) {
	for _, h := range []oplog.HLC{0, 1, 1_767_225_600_000 << 16, 1<<64 - 1} {
		text, err := h.MarshalText()
		if err != nil || len(text) != 16 {
			t.Errorf("%d is written as %q, %v", uint64(h), text, err)
		}
		var back oplog.HLC
		if err := back.UnmarshalText(text); err != nil || back != h {
			t.Errorf("%q is read as %v, %v", text, back, err)
		}
	}
	for _, bad := range []string{"", "1", "000000000000000g", "00000000000000001", "-000000000000001"} {
		if h, err := oplog.ParseHLC(bad); err == nil {
			t.Errorf("%q is read as %v", bad, h)
		}
	}
}
