package status

import (
	"context"
	"errors"

	"dtc"
)

// interfaces answers what ip -s link prints.
func (c *Collector) interfaces(context.Context) ([]dtc.Interface, []string, error) {
	return nil, nil, errors.ErrUnsupported
}
