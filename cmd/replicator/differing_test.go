package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"replicator/api"
	"replicator/embedded"
	"replicator/oplog"
)

// A copyOf is a node that only verifies: of one bucket whose rows are given.
type copyOf struct {
	api.Backend
	name string
	rows map[string]string
}

func (c copyOf) Name() string                      { return c.name }
func (c copyOf) Ready() bool                       { return true }
func (c copyOf) Version() string                   { return "test" }
func (c copyOf) Replica() bool                     { return false }
func (c copyOf) Status(context.Context) api.Status { return api.Status{Node: c.name, Ready: true} }

func (c copyOf) Verify(_ context.Context, _ string, o api.VerifyOptions) ([]api.BucketDigest, error) {
	d := api.BucketDigest{Bucket: "orders", Clock: map[string]uint64{"a/1": 9}, ClockHash: "c1", Pure: true, Keys: uint64(len(c.rows))}
	var sums [oplog.HashParts]uint64
	total := uint64(0)
	for key, value := range c.rows {
		e := oplog.Entry{Key: []byte(key), Value: []byte(value)}
		sums[oplog.HashPart(e.Key)] += e.Hash()
		total += e.Hash()
		for _, n := range o.Parts {
			if n == oplog.HashPart(e.Key) {
				d.Rows = append(d.Rows, api.NewRowDigest(&e))
			}
		}
	}
	if d.Hash = api.Hex(total); o.Sums {
		for _, sum := range sums {
			d.Sums = append(d.Sums, api.Hex(sum))
		}
	}
	return []api.BucketDigest{d}, nil
}

// serveCopies answers for the copies on a server of their own.
func serveCopies(t *testing.T, copies ...copyOf) (url string) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Options{Listen: freeAddress(t), LameDuck: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for _, c := range copies {
		service, err := api.NewService(nc, c, api.ServiceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = service.Stop(context.Background()) })
	}
	return s.ClientURL()
}

func TestVerifyNamesTheKeysThatDiffer(t *testing.T) {
	alone(t)
	rows := func(more ...string) map[string]string {
		m := map[string]string{"same": "x", "\xff": "y"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	url := serveCopies(t, copyOf{name: "a", rows: rows("k", "1", "only a", "z")}, copyOf{name: "b", rows: rows("k", "2")})
	got := replicatorIn(t, "", "verify", "--server", url)
	for _, want := range []string{
		"a, b: divergent\n", "bucket orders: divergent\n", "  0 proven equal at clock none, 0 behind, 2 divergent\n",
		`  key "k": a /`, `  key "only a": a /`, ", b none\n",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s%s", want, got.out, got.err)
		}
	}
	if got.code != exitDivergent || strings.Contains(got.out, "same") {
		t.Errorf("exit %d:\n%s", got.code, got.out)
	}
	got = replicatorIn(t, "", "verify", "--json", "-b", "orders", "--server", url)
	if !strings.Contains(got.out, `"divergent":2`) || !strings.Contains(got.out, `"keys":[{"key":"k","rows":{"a":"`) {
		t.Errorf("%s", got.out)
	}
}

func TestManyKeysAreCutShort(t *testing.T) {
	alone(t)
	a, b := map[string]string{}, map[string]string{}
	for i := range maxKeys + 5 {
		a[fmt.Sprintf("k%04d", i)], b[fmt.Sprintf("k%04d", i)] = "1", "2"
	}
	url := serveCopies(t, copyOf{name: "a", rows: a}, copyOf{name: "b", rows: b})
	got := replicatorIn(t, "", "verify", "--server", url)
	if n := strings.Count(got.out, "  key "); n != printedKeys || !strings.Contains(got.out, "and more keys") {
		t.Errorf("%d keys of\n%s", n, got.out)
	}
	got = replicatorIn(t, "", "verify", "--json", "--server", url)
	if n := strings.Count(got.out, `{"key":"k`); n != maxKeys || !strings.Contains(got.out, `"more_keys":true`) {
		t.Errorf("%d keys", n)
	}
}
