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
	n.store.GuardDisk(free, n.cfg.LowWater)
}
