// Package simulation proves the order of effects on an event's whole way, from a
// queue to a table, without any server: the real ingest, log client, stages and
// Router run on a clock that a seed drives, over a Redis, a broker and a table in
// memory. Every call that crosses to one of them is a named boundary, at which a
// seed, or a list, puts faults: lost answers, refusals, stalls and crashes. An
// oracle counts what came out. It holds tests only and stands outside an event's
// way.
package simulation
