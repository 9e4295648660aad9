package bench

import (
	"context"
	"fmt"

	"replicator/internal/bareloop"
	"replicator/internal/jetkv"
)

// The names of the workloads.
const (
	initial       = "initial"
	batches       = "initial-batches"
	live          = "live"
	liveBoth      = "live-both"
	liveOne       = "live-one"
	propagation   = "propagation"
	handshake     = "handshake"
	batchesAtMost = 200_000 // keys of a sync in batches, which takes its time
)

// Workloads lists what Options.Only may name.
func Workloads() []string {
	return []string{initial, batches, live, liveBoth, liveOne, propagation, handshake}
}

// The goals: what ours is to that of others.
var (
	toLoop     = map[string]float64{BareLoop: 0.8}
	inUnsynced = map[string]float64{BareLoop: 0.8, JetStream: 3}
	inSynced   = map[string]float64{BareLoop: 0.8, JetStream: 10}
	inSync     = map[string]float64{BareLoop: 0.8, JetStream: 3}
	inDelay    = map[string]float64{BareLoop: 1.25, JetStream: 0.5}
	inCost     = map[string]float64{BareLoop: 1.25}
	inHello    = map[string]float64{Raw: 1.25}
)

// workloads are those that were asked for, in order.
func (r *runner) workloads() []workload {
	var list []workload
	add := func(name string, w func() workload) {
		if picked(r.Only, name) {
			list = append(list, w())
		}
	}
	each := func(name string, w func(durability) workload, fits func(durability) bool) {
		for _, d := range durabilities {
			if picked(r.Durability, d.name) && fits(d) {
				add(name, func() workload { return w(d) })
			}
		}
	}
	add(initial, r.initial)
	add(batches, r.batches)
	all := func(durability) bool { return true }
	synced := func(d durability) bool { return d.always }
	unsynced := func(d durability) bool { return !d.always }
	each(live, func(d durability) workload { return r.live(live, d, r.Writers) }, all)
	each(liveBoth, r.both, unsynced) // the rest is the disk's
	each(liveOne, func(d durability) workload { return r.live(liveOne, d, 1) }, synced)
	each(propagation, r.propagation, all)
	add(handshake, func() workload { return r.handshake(2) })
	if r.Masters != 2 {
		add(handshake, func() workload { return r.handshake(r.Masters) })
	}
	return list
}

func (r *runner) initial() workload {
	var ours *masters
	var loop *loops
	var jet *jetkv.Pair
	w := r.joining(initial, fmt.Sprintf("initial sync of %s keys", count(r.Keys)), r.Keys, &ours, &loop, &jet)
	w.contestants = []contestant{
		{Ours, "ours", r.joinOurs(&ours, r.Keys)},
		{BareLoop, "bare loop, tables", r.joinLoop(&loop, r.Keys, bareloop.Ingest)},
		{JetStream, "JetStream KV, a new mirror", r.joinJet(&jet, r.Keys)},
		{Raw, "Pebble, tables", r.rawIngest(r.Keys)},
	}
	w.measures[0].goals = inSync
	return w
}

func (r *runner) batches() workload {
	keys := min(r.Keys, batchesAtMost)
	var ours *masters
	var loop *loops
	w := r.joining(batches, fmt.Sprintf("initial sync of %s keys, beside loops that use batches", count(keys)), keys, &ours, &loop, nil)
	w.contestants = []contestant{
		{Ours, "ours", r.joinOurs(&ours, keys)},
		{BareLoop, "bare loop, each row read", r.joinLoop(&loop, keys, bareloop.Merge)},
		{BareLoop, "bare loop, blind", r.joinLoop(&loop, keys, bareloop.Blind)},
	}
	return w
}

// joining is a workload whose contestants join donors, which are there before.
func (r *runner) joining(name, what string, keys int, ours **masters, loop **loops, jet **jetkv.Pair) workload {
	return workload{
		name:     name,
		measures: []measure{{what: what, unit: "keys/s", better: more}},
		ready: func(ctx context.Context, dir string) (func() error, error) {
			var ends closers
			err := ends.begin(dir, "ours", func(dir string) (end func() error, err error) {
				*ours, err = r.donorOurs(ctx, dir, keys)
				return (*ours).close, err
			})
			if err == nil {
				err = ends.begin(dir, "loop", func(dir string) (end func() error, err error) {
					*loop, err = r.donorLoop(ctx, dir, keys)
					return (*loop).close, err
				})
			}
			if err == nil && jet != nil {
				err = ends.begin(dir, "jet", func(dir string) (end func() error, err error) {
					*jet, err = r.donorJet(ctx, dir, keys)
					return (*jet).Close, err
				})
			}
			return ends.close, err
		},
	}
}

// live counts records until they are applied at the other side, and what each costs.
func (r *runner) live(name string, d durability, writers int) workload {
	group := min(writers, rawGroup)
	w := workload{name: name, durability: d.name, contestants: []contestant{
		{Ours, "ours", r.liveOurs(d, writers, false)},
		{BareLoop, "bare loop", r.liveLoop(d, writers, false)},
		{JetStream, jetName(d), r.liveJet(d, writers)},
		{Raw, rawName(group, d.always), r.rawWrites(group, d.always)},
	}}
	goals := inUnsynced
	switch {
	case writers == 1:
		goals = toLoop
	case d.always:
		goals = inSynced
	}
	if !d.always && writers > 1 {
		w.contestants = append(w.contestants,
			contestant{Raw, "NATS, a message a key, TCP", r.rawFlood(true)},
			contestant{Raw, "NATS, a message a key, in-process", r.rawFlood(false)})
	}
	w.measures = []measure{
		{what: fmt.Sprintf("live, %s, %s, applied at the other", writersCount(writers), d.name), unit: "keys/s", better: more, goals: goals},
	}
	if writers > 1 {
		w.measures = append(w.measures, measure{
			name: "cpu", what: fmt.Sprintf("CPU of a live record, %s, %s, both ends and the broker", writersCount(writers), d.name),
			unit: "us", better: less, goals: inCost,
		})
	}
	return w
}

func (r *runner) both(d durability) workload {
	return workload{
		name: liveBoth, durability: d.name,
		contestants: []contestant{
			{Ours, "ours", r.liveOurs(d, r.Writers, true)},
			{BareLoop, "bare loop", r.liveLoop(d, r.Writers, true)},
		},
		measures: []measure{{what: fmt.Sprintf("live, %s, %s, both ways at once", writersCount(r.Writers), d.name), unit: "keys/s", better: more, goals: toLoop}},
	}
}

func (r *runner) propagation(d durability) workload {
	return workload{
		name: propagation, durability: d.name,
		contestants: []contestant{
			{Ours, "ours", r.probeOurs(d)},
			{BareLoop, "bare loop", r.probeLoop(d)},
			{JetStream, jetName(d), r.probeJet(d)},
			{Raw, "NATS, one way, TCP", r.rawOneWay(true)},
			{Raw, "NATS, one way, in-process", r.rawOneWay(false)},
		},
		measures: []measure{{what: fmt.Sprintf("propagation at 200 puts/s, %s, p50", d.name), unit: "us", better: less, goals: inDelay}},
	}
}

func (r *runner) handshake(masters int) workload {
	return workload{
		name: fmt.Sprintf("%s-%d", handshake, masters),
		contestants: []contestant{
			{Ours, "ours", r.helloOurs(masters)},
			{Raw, "NATS, a request, TCP", r.rawRequest(true, helloBytes)},
			{Raw, "NATS, a request, in-process", r.rawRequest(false, helloBytes)},
		},
		measures: []measure{
			{what: fmt.Sprintf("handshake with nothing missing, %s masters, p50", count(masters)), unit: "us", better: less, goals: inHello},
			{name: "bytes", what: fmt.Sprintf("handshake with nothing missing, %s masters", count(masters)), unit: "bytes", better: less},
		},
	}
}

func jetName(d durability) string {
	if d.always {
		return "JetStream KV, sync_interval: always"
	}
	return "JetStream KV"
}

func rawName(group int, synced bool) string {
	name := fmt.Sprintf("Pebble, groups of %d", group)
	if group == 1 {
		name = "Pebble, one a batch"
	}
	if synced {
		return name + ", synced"
	}
	return name + ", not synced"
}

func writersCount(n int) string {
	if n == 1 {
		return "1 writer"
	}
	return count(n) + " writers"
}
