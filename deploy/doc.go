// Package deploy holds no program: its folders are the files for running one,
// and its tests start the NATS configurations among them.
package deploy
