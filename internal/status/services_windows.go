package status

import (
	"context"
	"errors"

	"dtc"
)

// services answers which services the system has.
func (c *Collector) services(context.Context) ([]dtc.Service, []string, error) {
	return nil, nil, errors.ErrUnsupported
}
