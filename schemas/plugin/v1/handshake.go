// Package pluginv1 is the wire contract between the engine and its plugins,
// generated from plugin.proto, with the constants of the handshake. It stands on
// both sides of the process boundary; its types stop at engine/pluginhost and
// plugins/sdk, which nothing else needs to look behind.
package pluginv1

// The handshake of hashicorp/go-plugin that precedes the first call.
const (
	ProtocolVersion  = 1
	MagicCookieKey   = "MILLRACE_PLUGIN"
	MagicCookieValue = "7c7e5d1f-millrace-plugin"
	Service          = "transform" // name of the plugin in go-plugin's set
)

// AttachEnv names the environment variable that tells an engine of plugins which run
// already: NAME=SOCKET, several with a comma between them.
const AttachEnv = "MILLRACE_PLUGIN_ATTACH"

// Limits of the Process stream, in bytes.
const (
	MaxMessageBytes = 16 << 20       // of one message, both ways
	ChunkBytes      = 64 << 10       // what a chunk should not be much above
	WindowBytes     = 3 * ChunkBytes // of a unit's unanswered chunks, unless it is a lone one
	LeastBytes      = ChunkBytes / 4 // that a chunk counts for in the window: each costs the kernel more than its bytes
)

// DescribeArg is the only argument that a plugin program knows: called with it,
// without a host, it prints {"name": ..., "version": ...} and ends.
const DescribeArg = "describe"
