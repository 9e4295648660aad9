// Package carry carries out on a store what the engine of package syncer asks
// for. Production and simulator share it, so that what the simulator proves of
// snapshots, pages and watermarks is proved of the code that runs.
package carry
