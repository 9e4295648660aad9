package api_test

import (
	"errors"
	"testing"
	"time"

	"replicator/api"
)

func TestMemberVerbs(t *testing.T) {
	_, c, nc := pair(t)
	if _, err := c.Leave(t.Context(), "a", false); !errors.Is(err, api.ErrNotHandedOver) {
		t.Errorf("leave: %v", err)
	}
	if res, err := c.Leave(t.Context(), "a", true); err != nil || res.Member != "a" || res.Node != "a" {
		t.Errorf("leave now: %+v, %v", res, err)
	}
	if _, err := c.Forget(t.Context(), "alive", false); !errors.Is(err, api.ErrMemberLive) {
		t.Errorf("forget a live one: %v", err)
	}
	if res, err := c.Forget(t.Context(), "alive", true); err != nil || res.Member != "alive" || res.Node != "a" {
		t.Errorf("forget it by force: %+v, %v", res, err)
	}
	for _, name := range []string{"", "any", "a.b"} {
		if _, err := c.Forget(t.Context(), name, true); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("forget %q: %v", name, err)
		}
	}
	if _, err := c.Readmit(t.Context(), "b"); !errors.Is(err, api.ErrNoMember) {
		t.Errorf("readmit a member: %v", err)
	}
	if res, err := c.Readmit(t.Context(), "gone"); err != nil || res.Member != "gone" {
		t.Errorf("readmit: %+v, %v", res, err)
	}
	if res, err := c.Collect(t.Context(), "a", "", 3*time.Hour); err != nil || len(res.Buckets) != 1 || res.Buckets[0].Rows != 3 {
		t.Errorf("collect: %+v, %v", res, err)
	}
	if res, err := c.Collect(t.Context(), "a", "orders", time.Hour); err != nil || res.Node != "a" || res.Buckets[0].Bucket != "orders" {
		t.Errorf("collect one: %+v, %v", res, err)
	}
	for bucket, want := range map[string]error{"orders": nil, "_fleet": nil, "default": api.ErrNoDoubt, "a.b": api.ErrBadBucket} {
		res, err := c.AcceptReconcile(t.Context(), "a", bucket, api.Doubt{Removes: 1})
		if !errors.Is(err, want) || err == nil && (res.Node != "a" || res.Bucket != bucket || res.Removes != 2) {
			t.Errorf("accept the reconcile of %s: %+v, %v", bucket, res, err)
		}
	}
	for subject, body := range map[string]string{
		"replicator.orders.api.a.reconcile": `{"v":1}`,
		"replicator._x.api.a.reconcile":     `{"v":1,"accept":true}`,
		"replicator._fleet.api.a.collect":   `{"v":1,"older_than_ms":-1}`,
		"replicator._fleet.api.a.forget":    `{"v":1,"node":"c","gone":true}`,
		"replicator.default.api.a.readmit":  `{"v":1,"node":"gone"}`,
		"replicator._fleet.api.a.leave":     `leave`,
	} {
		m, err := nc.Request(subject, []byte(body), 5*time.Second)
		if err != nil || m.Header.Get("Nats-Service-Error-Code") != "400" {
			t.Errorf("%s %s: %v %v", subject, body, m, err)
		}
	}
}
