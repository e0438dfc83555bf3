//go:build !linux

package follow

// statPromptly is for Linux alone.
func statPromptly(handle) (Stat, bool) { return Stat{}, false }

// readPromptly is for Linux alone.
func readPromptly(handle, []byte, int64) int { return 0 }
