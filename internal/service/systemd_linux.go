package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"dtc/internal/dbus"
)

const (
	askTime   = 30 * time.Second       // for systemd to answer: it may be reading all its units
	startTime = 90 * time.Second       // for a service to come up, or to end
	lookEvery = 100 * time.Millisecond // while it does
)

// errNoSystemd says that nobody is there to whom a service could be given.
var errNoSystemd = errors.New("systemd does not run here")

// unit is a service as systemd has it.
type unit struct {
	load, active, sub, file, boots, result string

	since time.Time
	pid   int
}

// running tells whether the service is up.
func (u *unit) running() bool { return u.active == "active" || u.active == "reloading" }

// fails tells whether the service has been started in vain.
func (u *unit) fails() bool {
	return u.active == "failed" || u.active == "activating" && u.sub == "auto-restart"
}

// systemd asks this machine's systemd about one unit.
type systemd struct {
	conn *dbus.Conn
	unit string
	end  func()
}

// open connects to systemd; close is to be called when there is no error.
func (s Service) open(ctx context.Context) (*systemd, error) {
	if !dbus.Booted("/") {
		return nil, fmt.Errorf("%w: have this machine's init run '%s %s --home %s', and start it again when it ends", errNoSystemd, s.Exec, s.verb(), s.Home)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime+startTime)
	conn, err := dbus.Systemd(ctx, "/")
	if err != nil {
		cancel()
		return nil, err
	}
	return &systemd{conn: conn, unit: s.Name + ".service", end: cancel}, nil
}

func (d *systemd) close() {
	d.conn.Close()
	d.end()
}

// ask makes one call of systemd.
func (d *systemd) ask(method, signature string, body []byte, answer string) error {
	return d.conn.Call(dbus.Manager(method, signature, body), answer, func(*dbus.Values) {})
}

// job has systemd start or stop the unit, and returns before that is done.
func (d *systemd) job(method string) error {
	return d.ask(method, "ss", dbus.AppendText(dbus.AppendText(nil, d.unit), "replace"), "o")
}

// enable has the unit started with the machine, or no more.
func (d *systemd) enable() error {
	body := dbus.AppendBool(dbus.AppendBool(dbus.AppendTexts(nil, d.unit), false), false)
	return d.ask("EnableUnitFiles", "asbb", body, "ba(sss)")
}

func (d *systemd) disable() error {
	return d.ask("DisableUnitFiles", "asb", dbus.AppendBool(dbus.AppendTexts(nil, d.unit), false), "a(sss)")
}

// reload has systemd read its unit files again.
func (d *systemd) reload() error { return d.ask("Reload", "", nil, "") }

// look returns how the unit is.
func (d *systemd) look() (*unit, error) {
	var path string
	load := dbus.Manager("LoadUnit", "s", dbus.AppendText(nil, d.unit))
	if err := d.conn.Call(load, "o", func(v *dbus.Values) { path = string(v.Text()) }); err != nil {
		return nil, err
	}
	u := &unit{}
	texts := []struct {
		face, name string
		to         *string
	}{
		{"Unit", "LoadState", &u.load},
		{"Unit", "ActiveState", &u.active},
		{"Unit", "SubState", &u.sub},
		{"Unit", "FragmentPath", &u.file},
		{"Unit", "UnitFileState", &u.boots},
		{"Service", "Result", &u.result},
	}
	var pid uint32
	var since uint64
	take := make([]func(*dbus.Values), 0, len(texts)+2)
	calls := make([]dbus.Call, 0, len(texts)+2)
	for _, t := range texts {
		calls = append(calls, dbus.Property(path, t.face, t.name))
		take = append(take, func(v *dbus.Values) { v.Variant("s"); *t.to = string(v.Text()) })
	}
	calls = append(calls, dbus.Property(path, "Service", "MainPID"), dbus.Property(path, "Unit", "StateChangeTimestamp"))
	take = append(take,
		func(v *dbus.Values) { v.Variant("u"); pid = v.Number() },
		func(v *dbus.Values) { v.Variant("t"); since = v.Long() })
	if err := d.properties(calls, take); err != nil {
		return nil, err
	}
	u.pid = int(pid)
	if since > 0 && since <= math.MaxInt64 {
		u.since = time.UnixMicro(int64(since))
	}
	return u, nil
}

// properties asks for properties; take[i] has the value of calls[i].
func (d *systemd) properties(calls []dbus.Call, take []func(*dbus.Values)) error {
	var failed error
	err := d.conn.Calls(calls, func(i int, m *dbus.Message) {
		values, err := m.Values("v")
		if err == nil {
			if take[i](values); values.Broken {
				err = dbus.ErrMessage
			}
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("ask systemd about %s: %w", d.unit, err)
		}
	})
	return errors.Join(err, failed)
}

// await waits until the unit is as done says, and returns it.
func (d *systemd) await(ctx context.Context, done func(*unit) bool) (*unit, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		u, err := d.look()
		if err != nil || done(u) {
			return u, err
		}
		select {
		case <-ctx.Done():
			return u, fmt.Errorf("after %s it is %s (%s); see 'journalctl -u %s'", startTime, u.active, u.sub, d.unit)
		case <-t.C:
		}
	}
}

// up waits until the unit runs.
func (d *systemd) up(ctx context.Context) error {
	u, err := d.await(ctx, func(u *unit) bool { return u.running() || u.fails() })
	if err == nil && !u.running() {
		err = fmt.Errorf("it does not stay up (%s); see 'journalctl -u %s'", u.result, d.unit)
	}
	return err
}

// down waits until the unit has ended.
func (d *systemd) down(ctx context.Context) error {
	_, err := d.await(ctx, func(u *unit) bool { return u.active == "inactive" || u.active == "failed" })
	return err
}

// Where unit files lie: the machine's own, and those of packages.
func ownUnit(name string) string { return filepath.Join("/etc/systemd/system", name+".service") }

func packagedUnits(name string) []string {
	return []string{filepath.Join("/usr/lib/systemd/system", name+".service"), filepath.Join("/lib/systemd/system", name+".service")}
}
