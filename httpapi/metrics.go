package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"replicator/api"
)

// A collector asks the node how it stands each time metrics are read.
type collector struct{ backend api.Backend }

const statusTimeout = 5 * time.Second

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("replicator_"+name, help, labels, nil)
}

// What is told, in the words of the status.
var (
	metricUp       = gauge("info", "1, with who the node is.", "node", "role", "version")
	metricReady    = gauge("ready", "Whether requests are answered.")
	metricOnline   = gauge("online", "Whether the node is connected to NATS.")
	metricWritable = gauge("writable", "Whether the node takes writes: 0 if they are fenced, or the store is read-only.")

	metricKeys       = gauge("bucket_keys", "Live rows.", "bucket")
	metricTombstones = gauge("bucket_tombstones", "Deleted keys that some member may not know of.", "bucket")
	metricBad        = gauge("bucket_bad_rows", "Rows known not to be what was written.", "bucket")
	metricConflicts  = prometheus.NewDesc("replicator_bucket_conflicts_total", "Concurrent writes of one key seen since the start.", []string{"bucket"}, nil)
	metricCatching   = gauge("bucket_catching_up", "Whether the bucket is behind live writes, or compared as a whole.", "bucket")
	metricDoubt      = gauge("bucket_waits", "Whether a reconcile, or a replica that is to be emptied, waits for the operator.", "bucket")

	metricInSync   = gauge("peer_in_sync", "Whether the peer's copy is the same as the node's.", "bucket", "peer")
	metricBehind   = gauge("peer_missing_here", "Writes of the peer that are missing here, as far as is known.", "bucket", "peer")
	metricDiverges = gauge("peer_divergent", "Whether the peer has taken the same writes and holds other rows.", "bucket", "peer")
	metricLive     = gauge("peer_live", "Whether the peer was heard lately.", "peer")
	metricOffset   = gauge("peer_clock_offset_seconds", "The peer's wall clock against the node's, travel time included.", "peer")
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		metricUp, metricReady, metricOnline, metricWritable,
		metricKeys, metricTombstones, metricBad, metricConflicts, metricCatching, metricDoubt,
		metricInSync, metricBehind, metricDiverges, metricLive, metricOffset,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	st := c.backend.Status(ctx)
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	tell(metricUp, 1, st.Node, st.Role, st.Version)
	tell(metricReady, one(st.Ready))
	tell(metricOnline, one(st.Online))
	tell(metricWritable, one(st.Fenced == "" && st.NoWrite == "" && st.Role == api.RoleMaster))
	for i := range st.Buckets {
		b := &st.Buckets[i]
		tell(metricKeys, float64(b.Keys), b.Name)
		tell(metricTombstones, float64(b.Tombstones), b.Name)
		tell(metricBad, float64(b.Bad), b.Name)
		tell(metricCatching, one(b.CatchingUp || b.Reconcile), b.Name)
		tell(metricDoubt, one(b.Doubt != nil), b.Name)
		ch <- prometheus.MustNewConstMetric(metricConflicts, prometheus.CounterValue, float64(b.Conflicts), b.Name)
		for _, p := range b.Peers {
			tell(metricInSync, one(p.InSync), b.Name, p.Node)
			tell(metricDiverges, one(p.Diverges), b.Name, p.Node)
			if p.Behind != nil {
				tell(metricBehind, float64(*p.Behind), b.Name, p.Node)
			}
		}
	}
	for _, p := range st.Peers {
		tell(metricLive, one(p.Live), p.Node)
		tell(metricOffset, float64(p.OffsetMS)/1000, p.Node)
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metricsOf serves the node's metrics, and those of its process.
func metricsOf(b api.Backend) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector{b}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2})
}

func (s *Server) tellMetrics(w http.ResponseWriter, r *http.Request, _ target) error {
	s.metrics.ServeHTTP(w, r)
	return nil
}
