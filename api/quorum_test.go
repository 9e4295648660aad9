package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"replicator/api"
)

func member(node, state string, buckets ...string) api.MemberStatus {
	return api.MemberStatus{Node: node, State: state, Buckets: buckets}
}

func TestQuorumChoosesMembers(t *testing.T) {
	members := []api.MemberStatus{
		member("a", "live", "default"), member("b", "stopped", "default"), member("c", "overdue", "default", "x"),
		member("gone", "left", "default"), member("lost", "forgotten", "default"), member("away", "evicted", "default"),
		member("other", "live", "x"),
	}
	for text, want := range map[string]struct {
		nodes  string
		enough int
	}{
		"all": {"a b c", 3}, "1": {"a b c", 1}, "3": {"a b c", 3}, "1%": {"a b c", 1}, "34%": {"a b c", 2}, "50%": {"a b c", 2},
		"67%": {"a b c", 3}, "100%": {"a b c", 3}, "b": {"b", 1}, "b,never,b": {"b never", 2}, "gone,7": {"gone 7", 2}, "all,a": {"all a", 2},
	} {
		q, err := api.ParseQuorum(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		nodes, enough, err := q.Choose("default", members)
		if err != nil || strings.Join(nodes, " ") != want.nodes || enough != want.enough {
			t.Errorf("%s: %d of %v, %v; want %d of %s", text, enough, nodes, err, want.enough, want.nodes)
		}
	}
	for text, want := range map[string]error{"4": api.ErrTooFew, "9999999999": api.ErrTooFew} {
		q, err := api.ParseQuorum(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := q.Choose("default", members); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"all", "1", "50%"} {
		q, err := api.ParseQuorum(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := q.Choose("nobody-has-it", members); !errors.Is(err, api.ErrNoBucket) {
			t.Errorf("%s of a bucket that nobody holds: %v", text, err)
		}
	}
}

func TestBadQuorums(t *testing.T) {
	for text, word := range map[string]string{
		"": "want all", "0": "want all", "-1": "want all", "0%": "want all", "101%": "want all", "2,a": "want all", "1.5": `"1.5"`,
		"a,": `""`, "a b": `"a b"`, "a,b/c": `"b/c"`, "%": `"%"`, "a\nb": `"a\nb"`, "100000000000000000000": `want all`,
	} {
		if _, err := api.ParseQuorum(text); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want %s", text, err, word)
		}
	}
	var many []string
	for i := range 1025 {
		many = append(many, fmt.Sprint("n", i))
	}
	if _, err := api.ParseQuorum(strings.Join(many, ",")); err == nil || !strings.Contains(err.Error(), "1024") {
		t.Errorf("1025 names: %v", err)
	}
}

// TestHoldEndsWithEnough: whoever is not needed is left, and no missing one.
func TestHoldEndsWithEnough(t *testing.T) {
	members := []api.MemberStatus{member("a", "live", "b"), member("slow", "live", "b"), member("down", "stopped", "b")}
	ask := func(ctx context.Context, node string) error {
		switch node {
		case "slow":
			<-ctx.Done()
			return ctx.Err()
		case "down":
			return errors.New("no responders")
		}
		return nil
	}
	h, err := quorum(t, "1").Hold(t.Context(), "b", members, ask)
	if err != nil || !h.Enough() || len(h.Nodes) != 1 || h.Missing["slow"] != nil {
		t.Errorf("%+v, %v", h, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	h, err = quorum(t, "all").Hold(ctx, "b", members, ask)
	told := h.Told()
	if err != nil || told.Enough || !slices.Equal(told.Reached, []string{"a"}) || told.Missing["slow"] != "no answer" || told.Missing["down"] != "no answer" {
		t.Errorf("%+v, %v", told, err)
	}
}

func quorum(tb testing.TB, text string) api.Quorum {
	tb.Helper()
	q, err := api.ParseQuorum(text)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

// TestHeldVerb: a client that asks one node is told of all.
func TestHeldVerb(t *testing.T) {
	_, c, nc := pair(t)
	res, err := c.Put(t.Context(), "default", []byte("k"), []byte("v"), api.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token := dotOf(t, res).String()
	ask := func(body string) (held api.HeldResult, code string) {
		m, err := nc.Request("replicator.default.api.a.held", []byte(body), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &held); err != nil {
			t.Fatal(err)
		}
		return held, m.Header.Get(micro.ErrorCodeHeader)
	}
	if got, code := ask(`{"v":1,"tokens":"` + token + `","wait":"50%"}`); code != "" || !got.Enough || got.Node != "a" || !slices.Equal(got.Reached, []string{"a"}) {
		t.Errorf("%+v, %s", got, code)
	}
	for body, want := range map[string]string{
		`{"tokens":"` + token + `","wait":"3"}`: "409", `{"tokens":"` + token + `","wait":"0"}`: "400", `{"wait":"all"}`: "400",
		`{"tokens":"x"}`: "400", `{"tokens":"` + token + `","whom":"a"}`: "400", `x`: "400",
	} {
		if _, code := ask(body); code != want {
			t.Errorf("%s: %q, want %s", body, code, want)
		}
	}
	if h, err := c.HoldBy(t.Context(), "default", quorum(t, "a"), dotOf(t, res)); err != nil || !h.Enough() {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := c.HoldBy(t.Context(), "default", quorum(t, "5"), dotOf(t, res)); !errors.Is(err, api.ErrTooFew) {
		t.Errorf("more than there are: %v", err)
	}
}
