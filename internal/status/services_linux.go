package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"dtc"
)

const (
	servicesTimeout = 3 * time.Second // for all that is asked of systemd
	maxPID          = 1 << 22         // that Linux gives, see proc_sys_kernel(5) pid_max
)

// services answers what systemctl list-units --type=service --all prints, in its
// order, and since when each service is in its state, as systemctl status tells
// it. systemd is asked over D-Bus.
func (c *Collector) services(ctx context.Context) ([]dtc.Service, []string, error) {
	if _, err := os.Stat(c.host.path("run/systemd/system")); errors.Is(err, fs.ErrNotExist) {
		// The test of sd_booted(3).
		return nil, nil, fmt.Errorf("this host's init is not systemd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeFor(ctx, servicesTimeout))
	defer cancel()
	b, err := c.host.systemd(ctx)
	if err != nil {
		return nil, nil, late(ctx, err)
	}
	defer b.close()
	units, notes, err := listServices(b)
	if err != nil {
		return nil, nil, late(ctx, err)
	}
	services, note := details(ctx, b, units)
	return services, append(notes, note...), nil
}

// timeFor is how long something may take that is to be told of before ctx ends:
// at most the time given.
func timeFor(ctx context.Context, most time.Duration) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return most
	}
	return min(most, time.Until(end)*3/4)
}

// late is err, or that it took too long where err comes of that.
func late(ctx context.Context, err error) error {
	if ctxErr := context.Cause(ctx); ctxErr != nil {
		return fmt.Errorf("ask systemd: no whole answer in time: %w", ctxErr)
	}
	return err
}

// unit is a service as systemd lists it.
type unit struct {
	service dtc.Service // all but pid and time
	path    string      // of its object on the bus
}

// listServices asks which services there are.
func listServices(b *bus) (units []unit, notes []string, err error) {
	const answer = "a(ssssssouso)"
	take := func(v *busValues) { units = takeUnits(v) }
	err = b.call(manager("ListUnitsByPatterns", "asas", appendTexts(appendTexts(nil), "*.service")), answer, take)
	var refused *busError
	if errors.As(err, &refused) && refused.name == "org.freedesktop.DBus.Error.UnknownMethod" {
		// Before systemd 230 all units must be asked for.
		err = b.call(manager("ListUnits", "", nil), answer, take)
	}
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(units, func(x, y unit) int { return compareNames(x.service.Name, y.service.Name) })
	if len(units) > maxServices {
		notes = []string{fmt.Sprintf("of %d services only the first %d are told", len(units), maxServices)}
		units = units[:maxServices]
	}
	return units, notes, nil
}

// manager is a call of systemd itself.
func manager(method, signature string, body []byte) *busCall {
	return &busCall{
		destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1",
		face: "org.freedesktop.systemd1.Manager", method: method, signature: signature, body: body,
	}
}

// takeUnits takes the answer of ListUnits, see org.freedesktop.systemd1(5).
func takeUnits(v *busValues) []unit {
	var units []unit
	for end := v.array(); v.at < end && !v.broken; {
		v.take(8, 0)
		u := unit{service: dtc.Service{PID: dtc.Absent}}
		u.service.Name = string(v.text())
		u.service.Description = string(v.text())
		u.service.Load = string(v.text())
		u.service.State = string(v.text())
		u.service.SubState = string(v.text())
		v.text() // the unit that this one follows
		u.path = string(v.text())
		v.number() // the job that waits for it, its kind and its path
		v.text()
		v.text()
		if strings.HasSuffix(u.service.Name, ".service") {
			units = append(units, u)
		}
	}
	if v.broken {
		return nil
	}
	return units
}

// details asks for each service's main pid and since when it is in its state.
func details(ctx context.Context, b *bus, units []unit) (services []dtc.Service, notes []string) {
	const each = 2
	services = make([]dtc.Service, len(units))
	calls := make([]busCall, 0, each*len(units))
	for i := range units {
		services[i] = units[i].service
		calls = append(calls,
			property(units[i].path, "Unit", stateSince(services[i].State)),
			property(units[i].path, "Service", "MainPID"))
	}
	var refused error
	told := 0
	err := b.calls(calls, func(i int, m *busMessage) {
		values, err := m.values("v")
		switch {
		case err != nil:
		case i%each == 0:
			services[i/each].Since, err = takeTime(values)
		default:
			services[i/each].PID, err = takePID(values)
		}
		if err == nil {
			told++
		}
		refused = cmp.Or(refused, err)
	})
	if err = cmp.Or(err, refused); err != nil {
		notes = []string{fmt.Sprintf("systemd told only %d of the %d main pids and times of %d services: %v",
			told, len(calls), len(services), late(ctx, err))}
	}
	return services, notes
}

// property is a call for a property of an object of systemd.
func property(path, face, name string) busCall {
	return busCall{
		destination: "org.freedesktop.systemd1", path: path, face: "org.freedesktop.DBus.Properties", method: "Get",
		signature: "ss", body: appendText(appendText(nil, "org.freedesktop.systemd1."+face), name),
	}
}

// stateSince is the property from which systemctl status takes since when a unit
// is in its state.
func stateSince(state string) string {
	switch state {
	case "active", "reloading", "refreshing":
		return "ActiveEnterTimestamp"
	case "inactive", "failed":
		return "InactiveEnterTimestamp"
	case "activating":
		return "InactiveExitTimestamp"
	default:
		return "ActiveExitTimestamp"
	}
}

// takeTime takes microseconds since 1970, 0 for never.
func takeTime(v *busValues) (time.Time, error) {
	v.variant("t")
	micros := v.long()
	switch {
	case v.broken || micros > math.MaxInt64:
		return time.Time{}, errBusMessage
	case micros == 0:
		return time.Time{}, nil
	default:
		return time.UnixMicro(int64(micros)), nil
	}
}

// takePID takes a pid, 0 for none.
func takePID(v *busValues) (int, error) {
	v.variant("u")
	pid := v.number()
	switch {
	case v.broken || pid > maxPID:
		return dtc.Absent, errBusMessage
	case pid == 0:
		return dtc.Absent, nil
	default:
		return int(pid), nil
	}
}
