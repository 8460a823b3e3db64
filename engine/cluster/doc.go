// Package cluster is the RabbitMQ cluster from a sheet of paper to a running,
// verified and rehearsed one. Its parts: topology reads the cluster file; snapshot
// asks the nodes through management; plan compares, applies, and script writes what
// is done on the nodes; verify judges; canary and drill prove; local makes private
// clusters. This folder holds the tests that need five live nodes, local those
// that need clusters of their own; clustertest has what they share.
package cluster
