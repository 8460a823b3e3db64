// Package testserver gives tests real servers of their own: Redis, MariaDB,
// RabbitMQ and Mosquitto started from the programs that the system has
// installed, on loopback ports nobody else holds, with their data in temporary
// folders. It stands beside an event's way, not on it: only tests import it.
//
// Every server is a child process that dies with the test that started it, and
// with the test binary however that ends, kill -9 included. System services are
// never touched. A missing program skips the test with the reason in print, or
// fails it where MILLRACE_NO_SKIP=1 says that nothing may be missing.
//
// The package is for Linux: it relies on parent-death signals and on flock.
package testserver
