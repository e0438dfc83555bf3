//go:build !linux

package follow

import "errors"

// reopen is for Linux alone: here a file cannot be opened again without a name.
func reopen(handle) (handle, error) { return 0, errors.ErrUnsupported }
