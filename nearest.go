package dtc

// Nearest returns what in known is most like word, for the hint of an error:
// "" if nothing is like it. The measure is the number of bytes to insert,
// remove, replace or swap with the next one (the optimal string alignment
// distance); up to a third of the word, and two in any case, may differ.
func Nearest(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	if len(word) > 256 {
		return "" // no typing mistake, and not worth the time
	}
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
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
