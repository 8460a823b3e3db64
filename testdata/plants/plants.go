// Package plants carries small cuts of real, licensed plant measurements inside
// the program, so that the embedded default has something true to show wherever
// it is started. It stands before an event's way: package feed turns the rows
// into messages. It parses nothing; sources and licences are in the READMEs.
package plants

import "embed"

// Files holds FOLDER/NAME.csv as the READMEs of the folders describe them.
//
//go:embed */*.csv
var Files embed.FS
