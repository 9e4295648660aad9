package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"replicator/api"
)

const (
	printedKeys = 20   // for people
	maxKeys     = 1000 // in JSON
)

// A keyVerdict is a key under which copies that have taken the same writes hold
// different rows.
type keyVerdict struct {
	Key    *string           `json:"key,omitempty"`
	KeyB64 *string           `json:"key_b64,omitempty"`
	Rows   map[string]string `json:"rows"` // by node: the write, and the hash of its contents; none: no row
}

func (k keyVerdict) String() string {
	name := ""
	if k.Key != nil {
		name = *k.Key
	} else if k.KeyB64 != nil {
		raw, _ := base64.StdEncoding.DecodeString(*k.KeyB64) // what does not decode prints as nothing
		name = string(raw)
	}
	var rows []string
	for _, node := range slices.Sorted(maps.Keys(k.Rows)) {
		rows = append(rows, node+" "+k.Rows[node])
	}
	return fmt.Sprintf("%q: %s", name, strings.Join(rows, ", "))
}

// nameKeys finds the keys under which divergent copies differ, by comparing the
// sums of the parts of the key space, then the rows of those that differ. Copies
// that move meanwhile are left out: they prove nothing any more.
func nameKeys(ctx context.Context, client *api.Client, b *bucketVerdict) error {
	var nodes []string
	for _, n := range b.Nodes {
		if n.diverges {
			nodes = append(nodes, n.Node)
		}
	}
	if len(nodes) < 2 {
		return nil
	}
	ask := func(o api.VerifyOptions) ([]api.NodeDigests, error) {
		return eachNode(nodes, func(node string) (api.NodeDigests, error) { return client.Verify(ctx, node, b.Name, o) })
	}
	sums, err := ask(api.VerifyOptions{Sums: true})
	if err != nil {
		return err
	}
	parts := unlike(sums)
	if len(parts) == 0 {
		return nil
	}
	rows, err := ask(api.VerifyOptions{Parts: parts})
	if err != nil {
		return err
	}
	b.Keys, b.More = differing(rows)
	return nil
}

// unlike lists the parts whose sums are not the same at all nodes.
func unlike(all []api.NodeDigests) []int {
	differ := map[int]bool{}
	for _, d := range all {
		for i, sum := range sumsOf(d) {
			if first := sumsOf(all[0]); i >= len(first) || first[i] != sum {
				differ[i] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

func sumsOf(d api.NodeDigests) []string {
	if len(d.Buckets) != 1 {
		return nil
	}
	return d.Buckets[0].Sums
}

// differing compares the rows that the nodes told.
func differing(all []api.NodeDigests) (list []keyVerdict, more bool) {
	byKey := map[string]*keyVerdict{}
	for _, d := range all {
		for _, b := range d.Buckets {
			more = more || b.More
			for _, r := range b.Rows {
				if r.Deleted {
					continue // others may have forgotten the delete
				}
				id := "t"
				if r.Key != nil {
					id = "t" + *r.Key
				} else if r.KeyB64 != nil {
					id = "b" + *r.KeyB64
				}
				if byKey[id] == nil {
					byKey[id] = &keyVerdict{Key: r.Key, KeyB64: r.KeyB64, Rows: map[string]string{}}
					for _, n := range all {
						byKey[id].Rows[n.Node] = "none"
					}
				}
				byKey[id].Rows[d.Node] = r.ID + " hash " + r.Hash
			}
		}
	}
	for _, k := range byKey {
		same := true
		for _, row := range k.Rows {
			same = same && row == k.Rows[all[0].Node]
		}
		if !same {
			list = append(list, *k)
		}
	}
	slices.SortFunc(list, func(a, b keyVerdict) int { return cmp.Compare(a.String(), b.String()) })
	return list[:min(len(list), maxKeys)], more || len(list) > maxKeys
}
