package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
)

// logFlags say what a node logs, on standard error.
type logFlags struct {
	LogLevel  string `enum:"debug,info,warn,error" default:"info" env:"REPLICATOR_LOG_LEVEL" help:"What to log: ${enum}."`
	LogFormat string `enum:"text,json" default:"text" env:"REPLICATOR_LOG_FORMAT" help:"How: ${enum}."`
}

// logger returns the log and the writer that holds it back.
func (f logFlags) logger(w io.Writer) (*slog.Logger, *heldLog) {
	held := &heldLog{to: w}
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // kong has checked it
	if level <= slog.LevelDebug {
		held.release() // a developer wants to see how a start fails
	}
	opts := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(held, opts)), held
	}
	return slog.New(slog.NewTextHandler(held, opts)), held
}

// A heldLog keeps what is logged until the node has started. If it does not
// start, the one line that says why is not buried under the story before it.
type heldLog struct {
	mu   sync.Mutex // guards all below
	to   io.Writer
	open bool
	kept bytes.Buffer
}

// Write implements io.Writer.
func (h *heldLog) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open {
		return h.to.Write(p)
	}
	return h.kept.Write(p)
}

// release prints what was kept, and from now on everything at once.
func (h *heldLog) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = true
	_, _ = h.kept.WriteTo(h.to) // there is nobody left to tell
}
