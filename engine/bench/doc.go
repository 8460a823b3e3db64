// Package bench holds the benchmark of the whole path: this engine beside bare
// drivers and stock watermill wiring, in one run, on private servers, over one
// feed. `task bench` runs it and prints the table; nothing here is a timed test,
// and nothing of it is part of the engine.
//
// Besides the table's lines, some rigs print sentences: (l) the way of one reading at a
// steady rate (BENCH_RATE), (n) beside a replay, (o) what 10,000 viewers of the live
// stream get and cost, each on a connection of its own from a process of their own
// (BENCH_VIEWERS sets another number), (p) the way of a reading to a pixel of the page
// in a headless browser, and the page's frames a second. BENCH_ONLY=op runs these two.
// Rig (q) is another engine, Bento, where BENCH_BENTO names its program.
package bench
