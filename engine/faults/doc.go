// Package faults proves the engine's guarantees from outside: the built program
// runs as a process on real servers, is killed, stopped and cut off under load,
// and an oracle that knows only what the broker confirmed and what SQL shows
// decides whether anything was lost, doubled or reordered. Nothing of it is part
// of the engine.
package faults
