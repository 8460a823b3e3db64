// Package bench holds the benchmark of the whole path: this engine beside bare
// drivers and stock watermill wiring, in one run, on private servers, over one
// feed. `task bench` runs it and prints the table; nothing here is a timed test,
// and nothing of it is part of the engine.
package bench
