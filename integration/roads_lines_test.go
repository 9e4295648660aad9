package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"replicator/api"
	"replicator/oplog"
)

// records are the lines of a batch, made without the package under test.
func records(ops []ask) []byte {
	var lines []byte
	for _, op := range ops {
		lines = append(append(lines, record(op)...), '\n')
	}
	return lines
}

func record(a ask) []byte {
	fields := map[string]any{}
	text(fields, "key", a.key)
	if a.verb == "del" {
		fields["deleted"] = true
	} else {
		text(fields, "value", a.value)
	}
	if a.ttl != 0 {
		fields["ttl"] = a.ttl.String()
	}
	if !a.expires.IsZero() {
		fields["expiry"] = a.expires.Format(time.RFC3339Nano)
	}
	switch {
	case a.absent:
		fields["if_local"] = "absent"
	case a.at != 0:
		fields["if_local"] = a.ifDot.String()
	}
	if a.create {
		fields["create"] = true
	}
	return mustMarshal(fields)
}

// text is a field of bytes.
func text(fields map[string]any, name, data string) {
	if utf8.ValidString(data) {
		fields[name] = data
	} else {
		fields[name+"_b64"] = []byte(data)
	}
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func keyLines(keys []string) []byte {
	var lines []byte
	for _, key := range keys {
		fields := map[string]any{}
		text(fields, "key", key)
		lines = append(append(lines, mustMarshal(fields)...), '\n')
	}
	return lines
}

func rangeFields(a ask) map[string]any {
	fields := map[string]any{"values": !a.o.keysOnly, "full": true, "limit": a.o.limit, "reverse": a.o.reverse}
	for name, key := range map[string]string{"prefix": a.o.prefix, "start": a.o.start, "end": a.o.end, "after": a.o.behind} {
		if key != "" {
			text(fields, name, key)
		}
	}
	return fields
}

// headerRecord is a row whose value came bare.
func headerRecord(key string, value []byte, header func(string) string) (api.Record, error) {
	rec := api.Record{Key: []byte(key), Value: value}
	dot, err := oplog.ParseDot(header("Replicator-Origin") + ":" + header("Replicator-Seq"))
	if err != nil {
		return rec, err
	}
	rec.Stamp = oplog.Stamp{Origin: dot.Origin, Seq: dot.Seq}
	if ends := header("Replicator-Expiry"); ends != "" {
		at, err := time.Parse(time.RFC3339Nano, ends)
		if err != nil {
			return rec, err
		}
		rec.Expiry = at.UnixMilli()
	}
	return rec, nil
}

func putAnswer(body []byte) (answer, error) {
	var res api.PutResult
	err := json.Unmarshal(body, &res)
	return written(res, err)
}

// linesAnswer reads records, and what is said of them in lines of other forms: the
// heads of replies over NATS, the end of a list over HTTP.
func linesAnswer(a ask, body []byte) (got answer, err error) {
	switch a.verb {
	case "batch":
		var res api.BatchResult
		err := json.Unmarshal(body, &res)
		return batchAnswer(res), err
	case "delprefix":
		var res api.DeletedResult
		if err := json.Unmarshal(body, &res); err != nil || res.Last != nil || res.LastB64 != nil {
			return got, fmt.Errorf("%w: %s", cmpError(err, "not all at once"), clip(string(body)))
		}
		return answer{deleted: res.Deleted}, nil
	case "reached":
		return got, nil
	}
	for line := range bytes.Lines(body) {
		var frame struct {
			V    *int
			More *bool
			End  *struct {
				More     bool
				After    *string
				AfterB64 []byte `json:"after_b64"`
				Error    *api.Error
			}
		}
		switch err := json.Unmarshal(line, &frame); {
		case err != nil:
			return got, err
		case frame.End != nil:
			got.more = &frame.End.More
			if got.behind = string(frame.End.AfterB64); frame.End.After != nil {
				got.behind = *frame.End.After
			}
			if frame.End.Error != nil {
				return got, apiRefusal(frame.End.Error)
			}
		case frame.V != nil:
			got.more = frame.More
		default:
			rec, err := api.ParseRecord(line)
			if err != nil {
				return got, err
			}
			got.rows = append(got.rows, rec)
		}
	}
	return got, nil
}

func cmpError(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// watchLines reads a watch as HTTP and the command tell it.
func watchLines(in io.Reader, yield func(api.WatchEvent, error) bool) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var word struct {
			Open, Alive json.RawMessage
			Error       *api.Error
			Mark        *api.WatchMark
		}
		if err := json.Unmarshal(lines.Bytes(), &word); err != nil {
			yield(api.WatchEvent{}, err)
			return
		}
		var ev api.WatchEvent
		var err error
		switch {
		case word.Open != nil || word.Alive != nil:
			continue
		case word.Error != nil:
			err = apiRefusal(word.Error)
		case word.Mark != nil:
			ev.Mark = word.Mark
		default:
			var rec api.Record
			if rec, err = api.ParseRecord(lines.Bytes()); err == nil {
				ev = eventOf(&rec)
			}
		}
		if !yield(ev, err) {
			return
		}
	}
}
