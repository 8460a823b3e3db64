// Package archtest holds what must be true of the whole source tree and no
// compiler checks: which package may import which, how long files and functions
// may be, that exported names are documented, that tests neither sleep nor skip
// without a word, and that nothing in the tree names the machine it was written
// on. It runs as tests, reads sources only, and stands outside an event's way.
package archtest
