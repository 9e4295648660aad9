package main

import (
	"encoding/json"
	"fmt"

	"replicator/api"
)

func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}

// printJSON prints v on one line.
func (a *app) printJSON(v any) error { return json.NewEncoder(a.out).Encode(v) }

func (a *app) printRecord(r *api.Record) error {
	_, err := a.out.Write(append(r.AppendJSON(nil), '\n'))
	return err
}
