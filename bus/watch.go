package bus

import (
	"reflect"
	"time"

	"github.com/nats-io/nats.go"
)

// recheck is how often the watch compares what it was told with what is: the
// library drops statuses that nobody took in time.
const recheck = 5 * time.Second

func (b *Bus) watched() State { return State(b.state.Load()) }

// watch tells the connection's state as it changes. Statuses come from a
// channel of the library's so that the caller's handlers stay the caller's.
func (b *Bus) watch(status <-chan nats.Status) {
	defer b.running.Done()
	tick := time.NewTicker(min(recheck, b.opts.AssemblyTimeout))
	defer tick.Stop()
	b.tellState(b.nc.Status())
	for {
		select {
		case <-b.stop:
			return
		case now := <-tick.C:
			b.assembler.Expire(now)
			if s := b.nc.Status(); stateOf(s) != b.watched() {
				b.tellState(s)
			}
		case s, ok := <-status:
			if !ok {
				return
			}
			b.tellState(s)
		}
	}
}

// tellState tells each Connected, even two in a row: then a disconnect in
// between was missed.
func (b *Bus) tellState(s nats.Status) {
	n := Notice{State: stateOf(s)}
	before := State(b.state.Swap(int64(n.State)))
	switch n.State {
	case Connected:
		if before == Disconnected {
			b.stats.reconnects.Add(1)
			b.limits.restore()
		}
		n.MaxPayload = b.maxPayload()
	case before:
		return
	default:
		n.Err = b.nc.LastError()
	}
	b.notify(n)
}

func stateOf(s nats.Status) State {
	switch s {
	case nats.CONNECTED, nats.DRAINING_PUBS, nats.DRAINING_SUBS:
		return Connected
	case nats.CLOSED:
		return Closed
	}
	return Disconnected
}

// restoreHandler puts the caller's error handler back, unless someone put
// another one in front of ours since: that one may call ours, which then only
// passes on. Functions cannot be compared but by their code.
func (b *Bus) restoreHandler() {
	now := reflect.ValueOf(b.nc.ErrorHandler())
	if now.IsValid() && now.Pointer() == reflect.ValueOf(b.onError).Pointer() {
		b.nc.SetErrorHandler(b.chained)
	}
}
