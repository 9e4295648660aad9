package replicator

import (
	"time"

	"replicator/store"
)

// diskCheckPause is how often free disk space is looked at. Between two looks
// the low water has to last for all that is written to the disk.
const diskCheckPause = time.Second

// runDiskGuard makes the node read-only before its disk is full, while there is
// still room for the store's own housekeeping.
func (n *Node) runDiskGuard() error {
	tick := time.NewTicker(diskCheckPause)
	defer tick.Stop()
	for {
		n.guardDisk()
		select {
		case <-n.ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *Node) guardDisk() {
	free, err := store.FreeBytes(n.cfg.Dir)
	if err != nil {
		n.log.Warn("free disk space is unknown", "error", err)
		return
	}
	before := n.store.ReadOnly()
	n.store.GuardDisk(free, n.cfg.LowWater)
	switch now := n.store.ReadOnly(); {
	case before == nil && now != nil:
		n.log.Warn("the disk is nearly full, no more writes are taken", "error", now)
	case before != nil && now == nil:
		n.log.Info("writes are taken again", "free_bytes", free)
	}
}
