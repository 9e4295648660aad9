package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go"
)

// jsonNames turn the names of JSON into those of Go, and mark what is base64. A
// quote inside of a text is escaped, so nothing but names matches.
var jsonNames = [][2]string{
	{`"(key|value|cursor)"\s*:\s*"`, `"$1":"t`},
	{`"(key|value|cursor)_b64"\s*:\s*"`, `"$1":"b`},
	{`"session"\s*:\s*"`, `"greeting":"`},
	{`"entries"\s*:\s*(\d)`, `"count":$1`},
	{`"([a-z]+)_([a-z]+)"\s*:`, `"$1$2":`},
}

func fromJSON(body []byte, m any) error {
	for _, name := range jsonNames {
		body = regexp.MustCompile(name[0]).ReplaceAll(body, []byte(name[1]))
	}
	return json.Unmarshal(body, m)
}

func (b *bin) UnmarshalJSON(raw []byte) error {
	var s string
	err := json.Unmarshal(raw, &s)
	b64, is64 := strings.CutPrefix(s, "b")
	if *b = bin(strings.TrimPrefix(s, "t")); is64 {
		raw, err = base64.StdEncoding.DecodeString(b64)
		*b = bin(raw)
	}
	return err
}

func (h *hex64) UnmarshalJSON(raw []byte) error { return scan(raw, `"%x"`, (*uint64)(h)) }
func (n *nonce) UnmarshalJSON(raw []byte) error { return scan(raw, `"%x"`, (*string)(n)) }

func (o *origin) UnmarshalJSON(raw []byte) error {
	node, epoch, _ := bytes.Cut(raw[1:], []byte("/"))
	var n uint64
	err := scan(epoch, `%x"`, &n)
	*o = newOrigin(string(node), n)
	return err
}

func scan(b []byte, f string, to any) error { _, err := fmt.Sscanf(string(b), f, to); return err }

// command is what tests ask for on the subject peer.NODE: a write, {"key":"k",
// "value":"v"}, or with "flags":1 a delete; or anything else, to know how the
// peer stands.
func (n *node) command(raw *nats.Msg) {
	var e entry
	if err := fromJSON(raw.Data, &e); err == nil && e.Key != "" {
		n.write(e)
	}
	rows := map[string][2]uint64{} // flags, and hash of the value
	for key, e := range n.rows {
		rows[fmt.Sprintf("%x", string(key))] = [2]uint64{e.Flags, xxhash.Sum64String(string(e.Value))}
	}
	state, _ := json.Marshal(map[string]any{"rows": rows, "digest": n.digest()})
	_ = raw.Respond(state)
}
