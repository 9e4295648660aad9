package oplog_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"replicator/oplog"
)

func TestValidNameIsOneToken(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "Z": true, "0": true, "_": true, "-": true, "paris-1_B": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a.b": false, "a b": false, "*": false, ">": false, "a/b": false,
		"é": false, "a\x00": false, "a\n": false, "\xff": false, "@": false, "[": false, "`": false, "{": false, ":": false,
	} {
		if got := oplog.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestParseOriginReadsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genOrigin.Draw(t, "origin")
		if got, err := oplog.ParseOrigin(o.String()); err != nil || got != o {
			t.Fatalf("ParseOrigin(%q) = %v, %v", o.String(), got, err)
		}
	})
}

func TestParseOriginRefuses(t *testing.T) {
	for _, s := range []string{
		"", "/", "a", "a/", "a/1", "/0000000000000001", "a/000000000000000g", "a/00000000000000001", "a/+000000000000001",
		"a/-000000000000001", "a/0x00000000000001", "a/00000000000_0001", "a/b/0000000000000001", "a.b/0000000000000001",
		"a b/0000000000000001", strings.Repeat("x", 65) + "/0000000000000001", "\xff/0000000000000001",
		"a/0000000000000001 ", strings.Repeat("/", 1<<16),
	} {
		if o, err := oplog.ParseOrigin(s); err == nil || len(err.Error()) > 500 {
			t.Errorf("ParseOrigin(%.40q) = %v, %.500v; want a short error", s, o, err)
		}
	}
}

func TestParseNonceReadsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := genNonce.Draw(t, "nonce")
		if got, err := oplog.ParseNonce(n.String()); err != nil || got != n {
			t.Fatalf("ParseNonce(%q) = %v, %v", n, got, err)
		}
	})
	for _, s := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("0", 34), strings.Repeat("g", 32)} {
		if _, err := oplog.ParseNonce(s); err == nil {
			t.Errorf("ParseNonce(%q): no error", s)
		}
	}
}

func TestParseCodecKnowsTwo(t *testing.T) {
	for _, c := range codecs {
		if got, err := oplog.ParseCodec(string(c)); err != nil || got != c {
			t.Errorf("ParseCodec(%q) = %q, %v", c, got, err)
		}
	}
	for _, s := range []string{"", "JSON", "gob"} {
		if _, err := oplog.ParseCodec(s); err == nil {
			t.Errorf("ParseCodec(%q): no error", s)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range genMessages {
		if seen[k.String()] || strings.HasPrefix(k.String(), "kind ") {
			t.Errorf("kind %d has the name %q", uint16(k), k)
		}
		seen[k.String()] = true
	}
	if got := oplog.Kind(999).String(); got != "kind 999" {
		t.Errorf("unknown kind reads %q", got)
	}
}

// Of two instances with one name exactly one gives way, whatever the clocks say.
func TestYoungerDecidesForOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i, j := genInstance.Draw(t, "i"), genInstance.Draw(t, "j")
		if rapid.Bool().Draw(t, "same start") {
			j.Started = i.Started
		}
		if i.Nonce != j.Nonce && i.Younger(&j) == j.Younger(&i) {
			t.Fatalf("both or none is younger: %+v %+v", i, j)
		}
	})
}

func TestParseDotReadsWhatStringWrites(t *testing.T) {
	d := oplog.Dot{Origin: oplog.Origin{Node: "a-1", Epoch: 7}, Seq: 1<<64 - 1}
	if got, err := oplog.ParseDot(d.String()); err != nil || got != d {
		t.Errorf("%s reads as %s, %v", d, got, err)
	}
	for _, s := range []string{"", "a", "a/0000000000000007", ":1", "a/0000000000000007:", "a/0000000000000007:0", "a/0000000000000007:x", "a/7:1", "/0000000000000007:1"} {
		if got, err := oplog.ParseDot(s); err == nil {
			t.Errorf("%q reads as %s", s, got)
		}
	}
}
