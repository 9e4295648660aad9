package main

import (
	"testing"
	"time"
)

func TestTimesMayHaveDays(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "0": 0, "-1s": -time.Second, "30d": 30 * day, "1d12h": day + 12*time.Hour, "0d": 0, "1.5h": 90 * time.Minute,
	} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "1d-1h", "1d2", "40000d", "1y", "99999999999999999999d", "1dd", "1h1d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
