//go:build !linux

package status

import (
	"context"
	"errors"

	"dtc"
)

// logins answers what who prints.
func (c *Collector) logins(context.Context) ([]dtc.User, []string, error) {
	return nil, nil, errors.ErrUnsupported
}
