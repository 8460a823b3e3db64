// Package nearest finds the name that a misspelt one probably meant, for the
// hints of diagnostics. It knows nothing of pipelines.
package nearest

import "strings"

// maxWord bounds the words that are compared, in bytes: longer ones have no
// nearest name.
const maxWord = 64

// Of returns the candidate nearest to word, or "" if none is near: at most a
// third of the longer word's bytes may differ, case aside, where two swapped
// neighbours count as one difference. Of equally near ones it returns the first.
func Of(word string, candidates []string) string {
	best, bestDistance := "", maxWord
	for _, c := range candidates {
		longer := max(len(word), len(c))
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if d <= max(1, longer/3) && d < min(longer, bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of a and b.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	var rows [3][maxWord + 1]int
	before, last, row := rows[0][:len(b)+1], rows[1][:len(b)+1], rows[2][:len(b)+1]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
