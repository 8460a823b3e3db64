// Package pluginkit is what a plugin's author works with: it makes the folder of
// a new plugin and holds a plugin to the examples that its folder keeps, through
// a process as the engine runs it. It stands before a pipeline is run and is no
// part of an event's way; finding, building and running plugins is
// engine/pluginhost's.
package pluginkit
