package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
)

// levelTrace is below slog's Debug: the protocol, line by line.
const levelTrace = slog.LevelDebug - 4

// A serverLog hands the server's lines to slog. Its Fatalf does not end the
// process: what was fatal waits in the channel for Start to return it.
type serverLog struct {
	log   *slog.Logger
	fatal chan error // holds the first one
}

func newServerLog(log *slog.Logger) *serverLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &serverLog{log: log.With("component", "nats"), fatal: make(chan error, 1)}
}

// Noticef implements server.Logger. The indented lines are the server's banner,
// which the operator's story can do without.
func (l *serverLog) Noticef(format string, v ...any) {
	if strings.HasPrefix(format, " ") {
		l.line(slog.LevelDebug, format, v)
		return
	}
	l.line(slog.LevelInfo, format, v)
}

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.line(slog.LevelWarn, format, v) }

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) { l.line(slog.LevelError, format, v) }

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, v ...any) { l.line(slog.LevelDebug, format, v) }

// Tracef implements server.Logger.
func (l *serverLog) Tracef(format string, v ...any) { l.line(levelTrace, format, v) }

// Fatalf implements server.Logger.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.line(slog.LevelError, format, v)
	select {
	case l.fatal <- fatalError(format, v):
	default: // the first one is the cause, the others follow from it
	}
}

func (l *serverLog) line(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	l.log.Log(ctx, level, strings.TrimSpace(fmt.Sprintf(format, v...))) //nolint:sloglint // the words are the server's
}

// fatalError keeps a lost race for an address what it is: a ListenError.
func fatalError(format string, v []any) error {
	for _, arg := range v {
		err, ok := arg.(error)
		if !ok {
			continue
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "listen" && op.Addr != nil {
			return newListenError("nats", op.Addr.String(), op)
		}
	}
	return fmt.Errorf("nats-server: "+format, v...)
}
