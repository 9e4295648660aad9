package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"replicator/api"
	"replicator/oplog"
)

type decodeCmd struct {
	jsonFlag
	Subject string `arg:"" optional:"" help:"Ignored; so that nats sub may pass its subject."`
}

// Help implements kong.HelpProvider.
func (decodeCmd) Help() string {
	return `Examples:

    nats sub 'replicator.*.live.*' --translate 'replicator decode'
    nats sub 'replicator._fleet.clock.*' --translate 'replicator decode'

Reads one message body, of either codec, and prints one line for each write in it, or one line that says what else it is.`
}

// Run decodes standard input. What it cannot decode it describes, for it is
// not its own failure.
func (c *decodeCmd) Run(a *app) error {
	body, err := io.ReadAll(io.LimitReader(a.in, oplog.MaxBody+1))
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	if f, ok := describeFrame(body); ok {
		return a.printf("%s\n", f)
	}
	m, err := oplog.Decode(body)
	switch {
	case errors.Is(err, oplog.ErrMalformed) || errors.Is(err, oplog.ErrVersion) || errors.Is(err, oplog.ErrKind):
		return a.printf("unknown body of %d bytes: %s\n", len(body), plainLine(err.Error()))
	case err != nil:
		return err
	}
	if entries := entriesOf(m); c.JSON && len(entries) > 0 {
		for i := range entries {
			r := api.RecordOf(&entries[i])
			if err := a.printRecord(&r); err != nil {
				return err
			}
		}
		return nil
	}
	return a.printf("%s", describe(m))
}

// describeFrame reads the head of a frame of package bus: its mark, the id of
// the body, index and count of frames, length of the body; big-endian.
func describeFrame(body []byte) (string, bool) {
	const mark, head = 0x02, 1 + 8 + 4 + 4 + 8 + 4
	if len(body) < head || body[0] != mark {
		return "", false
	}
	return fmt.Sprintf("frame %d of %d of body %016x, %d of %d bytes",
		uint64(binary.BigEndian.Uint32(body[9:]))+1, binary.BigEndian.Uint32(body[13:]),
		binary.BigEndian.Uint64(body[1:]), len(body)-head, binary.BigEndian.Uint64(body[17:])), true
}

func entriesOf(m oplog.Message) []oplog.Entry {
	switch m := m.(type) {
	case *oplog.Live:
		return m.Entries
	case *oplog.Page:
		return m.Entries
	}
	return nil
}

// describe writes a message in lines that end themselves.
func describe(m oplog.Message) string {
	var b strings.Builder
	switch m := m.(type) {
	case *oplog.Live:
		if m.Announced() {
			fmt.Fprintf(&b, "live %s bucket %s %d-%d: %d bytes to pull\n", m.Origin, m.Bucket, m.First, m.Last, m.Size)
		}
	case *oplog.Page:
		fmt.Fprintf(&b, "page %d of session %d: %d entries\n", m.Number, m.Session.ID, len(m.Entries))
	case *oplog.Heartbeat:
		describeHeartbeat(&b, m)
	default:
		fmt.Fprintln(&b, oplog.KindOf(m), describeJSON(m))
	}
	for _, e := range entriesOf(m) {
		r := api.RecordOf(&e)
		fmt.Fprintln(&b, recordLine(&r, quoteUnreadable(r.Key)))
	}
	return b.String()
}

func describeHeartbeat(b *strings.Builder, m *oplog.Heartbeat) {
	stopping := ""
	if m.Stopping {
		stopping = ", stopping"
	}
	fmt.Fprintf(b, "heartbeat of %s %s, instance %.8s%s:", m.From.Node, m.From.Version, m.From.Nonce, stopping)
	for _, d := range m.Digests {
		fmt.Fprintf(b, " %s clock %016x rows %016x own %d", d.Bucket, d.Clock, d.Sum, d.Own)
		if d.Ahead != 0 {
			fmt.Fprintf(b, " ahead %016x", d.Ahead)
		}
	}
	b.WriteByte('\n')
}

// describeJSON is the JSON form of a message, which names every field.
func describeJSON(m oplog.Message) string {
	body, err := oplog.Encode(oplog.JSON, m)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	if len(body) > most {
		return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(string(body[:most]), ""), len(body))
	}
	return string(body)
}
