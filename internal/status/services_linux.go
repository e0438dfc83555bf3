package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"dtc"
	"dtc/internal/dbus"
)

const (
	servicesTimeout = 3 * time.Second // for all that is asked of systemd
	maxPID          = 1 << 22         // that Linux gives, see proc_sys_kernel(5) pid_max
)

// services answers what systemctl list-units --type=service --all prints, in its
// order, and since when each service is in its state, as systemctl status tells
// it. systemd is asked over D-Bus.
func (c *Collector) services(ctx context.Context) ([]dtc.Service, []string, error) {
	if !dbus.Booted(c.host.root) {
		return nil, nil, fmt.Errorf("this host's init is not systemd: %w", fs.ErrNotExist)
	}
	ctx, cancel := context.WithTimeout(ctx, timeFor(ctx, servicesTimeout))
	defer cancel()
	b, err := dbus.Systemd(ctx, c.host.root)
	if err != nil {
		return nil, nil, late(ctx, err)
	}
	defer b.Close()
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
func listServices(b *dbus.Conn) (units []unit, notes []string, err error) {
	const answer = "a(ssssssouso)"
	take := func(v *dbus.Values) { units = takeUnits(v) }
	err = b.Call(dbus.Manager("ListUnitsByPatterns", "asas", dbus.AppendTexts(dbus.AppendTexts(nil), "*.service")), answer, take)
	var refused *dbus.Error
	if errors.As(err, &refused) && refused.Name == "org.freedesktop.DBus.Error.UnknownMethod" {
		// Before systemd 230 all units must be asked for.
		err = b.Call(dbus.Manager("ListUnits", "", nil), answer, take)
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

// takeUnits takes the answer of ListUnits, see org.freedesktop.systemd1(5).
func takeUnits(v *dbus.Values) []unit {
	var units []unit
	for end := v.Array(); v.More(end); {
		u := unit{service: dtc.Service{PID: dtc.Absent}}
		u.service.Name = string(v.Text())
		u.service.Description = string(v.Text())
		u.service.Load = string(v.Text())
		u.service.State = string(v.Text())
		u.service.SubState = string(v.Text())
		v.Text() // the unit that this one follows
		u.path = string(v.Text())
		v.Number() // the job that waits for it, its kind and its path
		v.Text()
		v.Text()
		if strings.HasSuffix(u.service.Name, ".service") {
			units = append(units, u)
		}
	}
	if v.Broken {
		return nil
	}
	return units
}

// details asks for each service's main pid and since when it is in its state.
func details(ctx context.Context, b *dbus.Conn, units []unit) (services []dtc.Service, notes []string) {
	const each = 2
	services = make([]dtc.Service, len(units))
	calls := make([]dbus.Call, 0, each*len(units))
	for i := range units {
		services[i] = units[i].service
		calls = append(calls,
			dbus.Property(units[i].path, "Unit", stateSince(services[i].State)),
			dbus.Property(units[i].path, "Service", "MainPID"))
	}
	var refused error
	told := 0
	err := b.Calls(calls, func(i int, m *dbus.Message) {
		values, err := m.Values("v")
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
func takeTime(v *dbus.Values) (time.Time, error) {
	v.Variant("t")
	micros := v.Long()
	switch {
	case v.Broken || micros > math.MaxInt64:
		return time.Time{}, dbus.ErrMessage
	case micros == 0:
		return time.Time{}, nil
	default:
		return time.UnixMicro(int64(micros)), nil
	}
}

// takePID takes a pid, 0 for none.
func takePID(v *dbus.Values) (int, error) {
	v.Variant("u")
	pid := v.Number()
	switch {
	case v.Broken || pid > maxPID:
		return dtc.Absent, dbus.ErrMessage
	case pid == 0:
		return dtc.Absent, nil
	default:
		return int(pid), nil
	}
}
