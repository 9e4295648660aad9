package api_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"replicator/api"
)

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := api.Record{Key: rapid.SliceOf(rapid.Byte()).Draw(t, "key"), Bare: rapid.Bool().Draw(t, "bare")}
		if !r.Bare {
			r.Value = []byte(rapid.String().Draw(t, "value"))
		}
		line := r.AppendJSON(nil)
		if !json.Valid(line) || bytes.ContainsRune(line, '\n') {
			t.Fatalf("not one line of JSON: %s", line)
		}
		got, err := api.ParseRecord(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if !bytes.Equal(got.Key, r.Key) || !bytes.Equal(got.Value, r.Value) || got.Bare != r.Bare {
			t.Fatalf("%s: %+v, want %+v", line, got, r)
		}
	})
}

func TestParseRecordRefuses(t *testing.T) {
	for line, want := range map[string]string{
		`{"value":"v"}`:                      "no key",
		`{"key":"k","vaule":"v"}`:            `not JSON as wanted: json: unknown field "vaule"`,
		`{"key":"k","value":{"a":1}}`:        "value: want a string; write other JSON as a string of JSON",
		`{"key":7}`:                          "key: a JSON number does not belong there",
		`[]`:                                 "a JSON array, want an object",
		`{"key":"\ud83d","value":""}`:        "half a surrogate pair in a string",
		"{\"key\":\"\xff\"}":                 "not UTF-8; write such bytes as base64 under key_b64 or value_b64",
		`{"key":"k"} {"key":"l"}`:            "more than one JSON object",
		`{"key":"k","expiry":"tomorrow"}`:    `expiry "tomorrow": want RFC 3339`,
		`{"key":"k","key_b64":"aw=="}`:       "key and key_b64 in one object",
		`{"key_b64":"***"}`:                  "key_b64: not base64",
		`{"key":"k","value":"` + "\t" + `"}`: `not JSON as wanted: invalid character '\t' in string literal`,
	} {
		if _, err := api.ParseRecord([]byte(line)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	for _, line := range []string{`{"key":"\ud83d\ude00\\ud800"}`, `{"key":"k","value":""}`} {
		if _, err := api.ParseRecord([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"key":"k","value":"v"}`))
	f.Add([]byte(`{"key_b64":"/w==","value_b64":"","origin":"a/0000000000000001","seq":1,"hlc":"0000000000000002"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := api.ParseRecord(line)
		if err != nil {
			return
		}
		again, err := api.ParseRecord(r.AppendJSON(nil))
		if err != nil || !bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) {
			t.Fatalf("%q: %+v, %v", line, again, err)
		}
	})
}
