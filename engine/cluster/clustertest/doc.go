// Package clustertest takes real clusters of [testserver] to planned virtual hosts,
// sends messages through them and judges them, for the tests of a cluster.
package clustertest
