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
