package bus

import "sync"

// A gate lets callbacks in until it is closed, and then waits for those inside:
// after Close none of the caller's functions runs any more.
type gate struct {
	mu     sync.RWMutex // guards closed, and orders enter before close
	closed bool
	inside sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Done() }

func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}
