package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"replicator/api"
	"replicator/httpapi"
)

// document is what of OpenAPI 3.1 the document uses.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas   map[string]schema
		Responses map[string]response
	}
}

type operation struct {
	OperationID string
	Parameters  []parameter
	RequestBody *struct{ Content map[string]media }
	Responses   map[string]response
}

type parameter struct {
	Name, In string
	Required bool
	Example  any
	Schema   schema
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Headers     map[string]json.RawMessage
	Content     map[string]media
}

type media struct {
	Schema  schema
	Example json.RawMessage
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Required   []string
	Properties map[string]schema
}

// TestOpenAPIDescribesTheHandlers: each operation of the document is asked for, as it
// says, and answers as it says; and the server has nothing else.
func TestOpenAPIDescribesTheHandlers(t *testing.T) {
	s := serve(t, httpapi.Options{})
	served := s.ask(t, "GET", "/v1/openapi.json", "")
	served.wants(t, "document", 200, "")
	var doc document
	if err := json.Unmarshal([]byte(served.body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	token := strings.Trim(s.ask(t, "PUT", keys+"/k", "v").header.Get("ETag"), `"`)
	for path, item := range doc.Paths {
		var shared []parameter
		if raw, ok := item["parameters"]; ok {
			if err := json.Unmarshal(raw, &shared); err != nil {
				t.Fatal(err)
			}
			delete(item, "parameters")
		}
		documented := slices.Sorted(maps.Keys(item))
		for method, raw := range item {
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			op.Parameters = append(op.Parameters, shared...)
			t.Run(op.OperationID, func(t *testing.T) { s.tryOperation(t, &doc, method, path, token, &op) })
		}
		s.onlyThose(t, path, documented)
	}
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func filled(path string) string {
	return strings.NewReplacer("{bucket}", "default", "{key}", "k", "{pattern}", "orders-*").Replace(path)
}

// onlyThose checks that a path answers the documented methods alone.
func (s *site) onlyThose(tb testing.TB, path string, documented []string) {
	tb.Helper()
	a := s.ask(tb, "PATCH", filled(path), "")
	a.wants(tb, path, http.StatusMethodNotAllowed, "method")
	allowed := strings.Split(strings.ToLower(a.header.Get("Allow")), ", ")
	if slices.Sort(allowed); !slices.Equal(allowed, documented) {
		tb.Errorf("%s: documented are %v, there are %v", path, documented, allowed)
	}
}

func (s *site) tryOperation(t *testing.T, doc *document, method, path, token string, op *operation) {
	t.Helper()
	if left := placeholder.FindAllString(filled(path), -1); len(left) > 0 {
		t.Fatalf("the test does not know %v", left)
	}
	body := ""
	if op.RequestBody != nil {
		for _, m := range op.RequestBody.Content {
			if err := json.Unmarshal(m.Example, &body); err != nil {
				t.Fatalf("example of the body: %v", err)
			}
		}
	}
	query := url.Values{}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required {
			query.Set(p.Name, strings.ReplaceAll(fmt.Sprint(p.Example), "TOKEN", token))
			if p.Name == "token" {
				query.Set(p.Name, token)
			}
		}
	}
	target := filled(path)
	if op.OperationID == "leaveBucket" { // another one, and it is the last that has it
		target = "/v1/buckets/spare"
		s.ask(t, "PUT", target, "").wants(t, "bucket to leave", 200, "")
		query.Set("now", "true")
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	if op.OperationID == "watch" {
		s.follow(t, target).next(t)
		s.follow(t, target, "Accept", "text/event-stream").next(t)
		for _, kind := range []string{"application/x-ndjson", "text/event-stream"} {
			if _, ok := op.Responses["200"].Content[kind]; !ok {
				t.Errorf("%s is not documented", kind)
			}
		}
	} else {
		a := s.ask(t, strings.ToUpper(method), target, body)
		a.wants(t, op.OperationID, 200, "")
		doc.describes(t, op.Responses["200"], a)
		s.ask(t, "PUT", keys+"/k", "v") // what a delete took
	}
	s.knowsParameters(t, method, path, target, op)
	problem, ok := op.Responses["default"]
	if !ok || doc.Components.Responses[strings.TrimPrefix(problem.Ref, "#/components/responses/")].Content["application/problem+json"].Schema.Ref == "" {
		t.Error("its problems are not documented")
	}
}

// describes checks media type, headers, and members of an answer.
func (d *document) describes(tb testing.TB, r response, a answer) {
	tb.Helper()
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	m, ok := r.Content[kind]
	if !ok {
		tb.Fatalf("answers %s, documented are %v", kind, slices.Collect(maps.Keys(r.Content)))
	}
	for name := range r.Headers {
		if a.header.Get(name) == "" && name != api.HeaderExpiry {
			tb.Errorf("header %s is documented and not sent", name)
		}
	}
	for _, name := range []string{"ETag", api.HeaderOrigin, api.HeaderSeq, api.HeaderHLC} {
		if a.header.Get(name) != "" && r.Headers[name] == nil {
			tb.Errorf("header %s is sent and not documented", name)
		}
	}
	want := d.resolve(m.Schema)
	if kind != "application/json" || want.Properties == nil {
		return
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		tb.Fatalf("%v: %s", err, a.body)
	}
	for _, name := range want.Required {
		if got[name] == nil {
			tb.Errorf("%s is required and missing in %s", name, a.body)
		}
	}
	for name := range got {
		if _, known := want.Properties[name]; !known {
			tb.Errorf("%s is not documented", name)
		}
	}
}

func (d *document) resolve(s schema) schema {
	if s.Ref != "" {
		return d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// knowsParameters checks each documented parameter of the query: one that is known
// is complained of by its value, if at all.
func (s *site) knowsParameters(tb testing.TB, method, path, target string, op *operation) {
	tb.Helper()
	var documented []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			documented = append(documented, p.Name)
		}
	}
	if path == "/healthz" || path == "/readyz" || path == "/metrics" || path == "/v1/openapi.json" {
		return // they do not look at it
	}
	join := "?"
	if strings.Contains(target, "?") {
		join = "&"
	}
	a := s.ask(tb, strings.ToUpper(method), target+join+"unheard-of=1", "")
	a.wants(tb, "an unknown parameter", 400, "bad_request")
	_, known, listed := strings.Cut(a.body, "known are: ")
	known, _, _ = strings.Cut(known, `"`)
	var names []string
	if listed {
		names = strings.Split(known, ", ")
	}
	slices.Sort(names)
	if slices.Sort(documented); !slices.Equal(names, documented) {
		tb.Errorf("documented are %v, known are %v", documented, names)
	}
}
