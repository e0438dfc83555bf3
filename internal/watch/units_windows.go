package watch

import (
	"errors"
	"fmt"
	"io/fs"

	"dtc/internal/proc"
)

// hasHelpers says whether processes that pass run in units.
const hasHelpers = false

// units finds the processes of services.
type units struct{}

func newUnits(*finder) *units { return &units{} }

// find asks for the services of the trials with these indices.
func (*units) find(trials []trial, of []int, into []place) {
	for _, at := range of {
		name := trials[at].rule.Unit
		switch pid, err := proc.ServicePID(name); {
		case errors.Is(err, fs.ErrNotExist):
			into[at].problem = fmt.Sprintf("there is no service %s", quoted(name))
		case err != nil:
			into[at].err = err
		case pid == 0:
			into[at].problem = fmt.Sprintf("service %s does not run", quoted(name))
		default:
			into[at].pids = []int{pid}
		}
	}
}
