//go:build !linux

package status

import (
	"context"
	"errors"

	"dtc"
)

// sockets answers what ss -tunap prints.
func (c *Collector) sockets(context.Context, *selector) ([]dtc.Socket, []string, error) {
	return nil, nil, errors.ErrUnsupported
}
