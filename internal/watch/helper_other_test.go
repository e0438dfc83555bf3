//go:build !linux

package watch

// platformHelper has no modes here.
func platformHelper(_, _ string) {}
