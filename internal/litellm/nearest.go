package litellm

import "strings"

// Nearest returns the known key of a section that a name was probably meant to
// be: the one with the fewest edits, if they are few for the length of the
// name. It answers false for a name that is known, and for one that resembles
// nothing.
func Nearest(section, name string) (string, bool) {
	if _, known := LookupKey(section, name); known {
		return "", false
	}
	return nearest(name, func(yield func(string) bool) {
		for _, k := range keys().all {
			if k.Section == section && k.Status != Dead && k.Status != Internal && !yield(k.Name) {
				return
			}
		}
	})
}

// nearest picks from the candidates the one closest to name. Ties go to the
// candidate that comes first. Case and the difference of "-" and "_" count as
// nothing, because both are common slips.
func nearest(name string, candidates func(yield func(string) bool)) (string, bool) {
	want := fold(name)
	if want == "" {
		return "", false
	}
	best, bestAt := "", allowedEdits(want)+1
	for c := range candidates {
		if d := edits(want, fold(c), bestAt); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best, best != ""
}

func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "-", "_")
}

// allowedEdits is how far apart two names may be and still be a slip of the
// other: short names are different words after one edit, longer ones bear two.
func allowedEdits(name string) int {
	switch n := len(name); {
	case n <= 3:
		return 0
	case n <= 6:
		return 1
	default:
		return 2
	}
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b (optimal string alignment), and stops counting at limit.
func edits(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit {
		return limit
	}
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		low := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, prev2[j-2]+1)
			}
			cur[j] = d
			low = min(low, d)
		}
		if low >= limit {
			return limit
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return min(prev[len(b)], limit)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
