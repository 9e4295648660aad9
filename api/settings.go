package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"replicator/bus"
)

// BucketSettings are what the fleet has settled for a bucket, or for all that a pattern
// names. They are replicated, and each node follows them once it has them. A zero field
// leaves a matter to the node.
type BucketSettings struct {
	// Durability says when a write is answered: "sync", once it is on disk, or
	// "interval", at once.
	Durability string `json:"durability,omitempty"`
	// DefaultTTL is how long rows live whose put names no end.
	DefaultTTL Span `json:"default_ttl,omitempty"`
	// CollectAfter has each node forget deletes older than that, whoever may not know
	// of them. Without it they are kept until every member has them.
	CollectAfter Span `json:"collect_after,omitempty"`
	// Ambiguous says what becomes of a value that may be older than a forgotten
	// delete: "keep", "delete" or "park".
	Ambiguous string `json:"ambiguous,omitempty"`
	// Create are the nodes at which a bucket may be made that nobody holds yet. None:
	// at every node. Nobody: at none.
	Create []string `json:"create,omitempty"`
}

// Nobody forbids new buckets, alone in BucketSettings.Create.
const Nobody = "-"

// A Span is a duration that JSON shows as text: 1h30m0s.
type Span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no time: want one as 36h or 1h30m", clip(string(text)))
	}
	*s = Span(d)
	return nil
}

// The limits of settings: what they take has to fit a row that every node reads.
const (
	maxCreate = 64
	minSpan   = Span(time.Second)
	maxSpan   = Span(100 * 365 * 24 * time.Hour)
)

// Check reports what of the settings is none.
func (s *BucketSettings) Check() error {
	switch s.Durability {
	case "", "sync", "interval":
	default:
		return ErrBadRequest.With("durability %q: want sync or interval", clip(s.Durability))
	}
	switch s.Ambiguous {
	case "", "keep", "delete", "park":
	default:
		return ErrBadRequest.With("ambiguous %q: want keep, delete or park", clip(s.Ambiguous))
	}
	for name, span := range map[string]Span{"default_ttl": s.DefaultTTL, "collect_after": s.CollectAfter} {
		if span != 0 && (span < minSpan || span > maxSpan) {
			return ErrBadRequest.With("%s of %v: want a second to a hundred years", name, time.Duration(span))
		}
	}
	if len(s.Create) > maxCreate {
		return ErrBadRequest.With("%d nodes may create it, the limit is %d", len(s.Create), maxCreate)
	}
	for _, node := range s.Create {
		if node == Nobody && len(s.Create) > 1 {
			return ErrBadRequest.With("create: %s stands for nobody, and alone", Nobody)
		}
		if err := bus.ValidNode(node); err != nil {
			return ErrBadRequest.With("create: %s", strings.TrimPrefix(err.Error(), "bus: "))
		}
	}
	return nil
}

// IsZero reports whether nothing is settled.
func (s *BucketSettings) IsZero() bool {
	return s.Durability == "" && s.DefaultTTL == 0 && s.CollectAfter == 0 && s.Ambiguous == "" && len(s.Create) == 0
}

// MayCreate reports whether the node may make a bucket of these settings.
func (s *BucketSettings) MayCreate(node string) bool {
	return len(s.Create) == 0 || s.Create[0] != Nobody && slices.Contains(s.Create, node)
}

// Settle returns what holds for a bucket: of each field what its own settings say, else
// those of the longest pattern that names it and says something.
func Settle(all map[string]BucketSettings, bucket string) BucketSettings {
	var of []string
	for pattern := range all {
		if bus.Among(pattern, bucket) {
			of = append(of, pattern)
		}
	}
	slices.SortFunc(of, func(a, b string) int { return cmp.Compare(rank(b), rank(a)) })
	var s BucketSettings
	for _, pattern := range of {
		t := all[pattern]
		s.Durability = cmp.Or(s.Durability, t.Durability)
		s.DefaultTTL = cmp.Or(s.DefaultTTL, t.DefaultTTL)
		s.CollectAfter = cmp.Or(s.CollectAfter, t.CollectAfter)
		s.Ambiguous = cmp.Or(s.Ambiguous, t.Ambiguous)
		if len(s.Create) == 0 {
			s.Create = t.Create
		}
	}
	return s
}

// rank is higher for a pattern that names less, and highest for a name.
func rank(pattern string) int {
	if strings.HasSuffix(pattern, "*") {
		return len(pattern)
	}
	return 1 << 20
}

// A settingsBody asks for settings to be replaced.
type settingsBody struct {
	V        int            `json:"v"`
	Buckets  string         `json:"buckets"` // a name, or with a * at its end all that begin so
	Settings BucketSettings `json:"settings"`
}

// A SettingsResult tells what the fleet has settled, by name or pattern of buckets, as
// far as the node has heard.
type SettingsResult struct {
	V        int                       `json:"v"`
	Node     string                    `json:"node"`
	Settings map[string]BucketSettings `json:"settings"`
}

// settings tells all there are.
func (h *Handlers) settings(_ context.Context, r *request) (*reply, error) {
	if r.bucket != bus.Fleet {
		return nil, ErrBadBucket.With("%s is about all buckets: its subject names %s", r.verb, bus.Fleet)
	}
	return &reply{body: mustJSON(h.Settings())}, nil
}

// Settings returns all there are.
func (h *Handlers) Settings() SettingsResult {
	return SettingsResult{V: 1, Node: h.backend.Name(), Settings: h.backend.Settings()}
}

func (h *Handlers) setBuckets(ctx context.Context, r *request) (*reply, error) {
	if r.bucket != bus.Fleet {
		return nil, ErrBadBucket.With("%s is about all buckets: its subject names %s", r.verb, bus.Fleet)
	}
	var body settingsBody
	if err := strictJSON(r.body, &body); err != nil {
		return nil, ErrBadRequest.With("%s", err)
	}
	res, err := h.SetBuckets(ctx, body.Buckets, body.Settings)
	if err != nil {
		return nil, err
	}
	return &reply{body: mustJSON(res)}, nil
}

// SetBuckets replaces the settings of a name or pattern, by none if s is zero. Errors
// are each an *Error.
func (h *Handlers) SetBuckets(ctx context.Context, pattern string, s BucketSettings) (SettingsResult, error) {
	if err := h.checkReady(); err != nil {
		return SettingsResult{}, AsError(err)
	}
	if err := bus.ValidBuckets(pattern); err != nil {
		return SettingsResult{}, ErrBadBucket.With("%s", err)
	}
	if err := s.Check(); err != nil {
		return SettingsResult{}, AsError(err)
	}
	if err := h.backend.SetBuckets(ctx, pattern, s); err != nil {
		return SettingsResult{}, AsError(err)
	}
	return h.Settings(), nil
}

// ParseSettings reads settings as JSON; a field that is not known is an error.
func ParseSettings(body []byte) (BucketSettings, error) {
	var s BucketSettings
	if err := strictJSON(body, &s); err != nil {
		return s, ErrBadRequest.With("%s", err)
	}
	return s, s.Check()
}

// Settings returns what the fleet has settled for its buckets, by name or pattern.
func (c *Client) Settings(ctx context.Context) (map[string]BucketSettings, error) {
	return c.tellSettings(ctx, verbSettings, nil)
}

// SetBuckets replaces the settings of all buckets that a pattern names: a name, or with
// a * at its end all names that begin so. Zero settings remove them. The client's node
// is told, the others learn of it. It returns all there are now.
func (c *Client) SetBuckets(ctx context.Context, pattern string, s BucketSettings) (map[string]BucketSettings, error) {
	return c.tellSettings(ctx, verbSet, mustJSON(settingsBody{V: 1, Buckets: pattern, Settings: s}))
}

func (c *Client) tellSettings(ctx context.Context, verb string, body []byte) (map[string]BucketSettings, error) {
	m, err := c.ask(ctx, bus.Fleet, verb, body)
	if err != nil {
		return nil, err
	}
	var res SettingsResult
	if err := json.Unmarshal(m.body, &res); err != nil {
		return nil, fmt.Errorf("reply to %s: %w", verb, err)
	}
	return res.Settings, nil
}
