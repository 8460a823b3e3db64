package nearest

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	names := []string{"inputs", "id", "identity", "queue", "source"}
	for _, c := range []struct{ rule, word, want string }{
		{"a letter missing", "input", "inputs"},
		{"two neighbours swapped", "qeuue", "queue"},
		{"case does not count", "Queue", "queue"},
		{"a longer slip in a longer word", "identifier", ""},
		{"two differences in eight letters", "idenitty", "identity"},
		{"nothing near", "colour", ""},
		{"a short word allows one difference", "ib", "id"},
		{"a word of one letter has no neighbour", "x", ""},
		{"the empty word has no neighbour", "", ""},
		{"very long words are not compared", strings.Repeat("q", 1000), ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := Of(c.word, names); got != c.want {
				t.Fatalf("Of(%q) = %q, want %q", c.word, got, c.want)
			}
		})
	}
}
