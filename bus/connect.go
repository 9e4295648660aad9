package bus

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	reconnectFirst = 100 * time.Millisecond
	reconnectMax   = 4 * time.Second
)

// ConnectOptions are how a node should connect: for ever, with jitter so that
// thousands of nodes do not come back in the same second, without a buffer that
// would replay stale messages, and not giving up on credentials that are being
// renewed. The name shows up in the server's reports. The logger takes the
// connection's asynchronous errors, which else go to standard error.
func ConnectOptions(name string, log *slog.Logger) []nats.Option {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn("nats error", "subject", subject, "error", err)
		}),
	}
}

// reconnectDelay is exponential with full jitter: any time up to 100ms before
// the second round of attempts, any time up to 4s from the seventh on.
func reconnectDelay(attempts int) time.Duration {
	limit := reconnectMax
	if shift := max(attempts, 1) - 1; shift < 7 {
		limit = min(limit, reconnectFirst<<shift)
	}
	return rand.N(limit)
}
