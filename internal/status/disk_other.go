//go:build !linux

package status

import (
	"context"
	"errors"

	"dtc"
)

// disks answers what df -T prints.
func (c *Collector) disks(context.Context) ([]dtc.Disk, []string, error) {
	return nil, nil, errors.ErrUnsupported
}
