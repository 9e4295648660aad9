package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// durations reads times of flags and settings, days too.
var durations = kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := parseDuration(text)
	if err == nil {
		target.Set(reflect.ValueOf(d))
	}
	return err
}))

// A moment is a time of a flag: RFC 3339, or a day, which begins at 0:00 UTC.
type moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *moment) UnmarshalText(text []byte) (err error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if m.Time, err = time.Parse(layout, string(text)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is no moment: want one as 2030-01-31T12:00:00Z or 2030-01-31", text)
}

// maxDays are no more than a time.Duration can hold.
const maxDays = 100 * 365

// parseDuration is time.ParseDuration with whole days in front: 30d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	days, rest, some := strings.Cut(text, "d")
	if !some {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > maxDays {
		return 0, fmt.Errorf("%q is no time: want one as 90s, 1h30m or 30d", text)
	}
	d := time.Duration(n) * 24 * time.Hour
	if some && rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || some && more < 0 {
		return 0, fmt.Errorf("%q is no time: want one as 90s, 1h30m or 30d", text)
	}
	return d + more, nil
}
