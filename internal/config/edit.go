package config

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"dtc"
	"dtc/internal/atomicfile"
)

// Why a host is not added or removed.
var (
	ErrHostExists = errors.New("the host is there already")
	ErrNoHost     = errors.New("there is no such host")
)

// AddHost adds a remote_host at the end of those in the monitor.xml at path. Of
// h, what is zero or the file's default is not written. All else in the file
// stays as it is, byte for byte; the new text takes its indentation and its line
// ends from what is beside it. A name or address that another host has is
// [ErrHostExists]; a file with faults is not touched, and they are the error.
func AddHost(path string, h Host) error {
	if h.Name == "" {
		h.Name = h.Address.String()
	}
	return edit(path, "add host "+quote(h.Name), func(data []byte) ([]byte, error) { return insertHost(path, data, h) })
}

// RemoveHost takes the host of that name out of the monitor.xml at path, with
// its line if nothing else is in it, and returns it. If there is none the error
// is [ErrNoHost].
func RemoveHost(path, name string) (Host, error) {
	var removed Host
	err := edit(path, "remove host "+quote(name), func(data []byte) (_ []byte, err error) {
		data, removed, err = cutHost(path, data, name)
		return data, err
	})
	return removed, err
}

// edit replaces the file by what change makes of it. The lock keeps out others
// who edit it by the same way; who writes it in another way meanwhile is seen in
// all but the last moment, and then the change is made to what they wrote.
func edit(path, what string, change func([]byte) ([]byte, error)) error {
	unlock, err := atomicfile.Lock(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock"))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer unlock()
	for range 10 {
		before, err := readFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		after, err := change(before)
		if _, ok := errors.AsType[Errors](err); ok {
			return err // its lines say all
		}
		if err != nil {
			return fmt.Errorf("%s in %s: %w", what, path, err)
		}
		if now, err := readFile(path); err == nil && bytes.Equal(now, before) {
			return atomicfile.Replace(path, after)
		}
	}
	return fmt.Errorf("%s in %s: the file changes all the time; try again", what, path)
}

// insertHost returns the file with one more host.
func insertHost(file string, data []byte, h Host) ([]byte, error) {
	before, root, err := parseMonitor(file, data)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(before.Hosts, func(o Host) bool { return o.Address == h.Address || o.Name == h.Name }); i >= 0 {
		return nil, fmt.Errorf("%w: %s (%s) in line %d", ErrHostExists, quote(before.Hosts[i].Name), before.Hosts[i].Address, before.Hosts[i].Line)
	}
	if h.DetectInterval == 0 {
		h.DetectInterval = before.DetectInterval
	}
	p := placeFor(data, root)
	text := hostText(h, before.DetectInterval, p)
	after := slices.Concat(data[:p.from], []byte(p.before), []byte(text), []byte(p.after), data[p.to:])

	h.Rules = before.Rules
	want := slices.Concat(before.Hosts, []Host{h})
	got, _, err := parseMonitor(file, after)
	if faults, ok := errors.AsType[Errors](err); ok {
		return nil, fmt.Errorf("it cannot stand in the file: %s", faults[0].Text)
	}
	return after, sameBut(before, got, want)
}

// cutHost returns the file without a host, and the host.
func cutHost(file string, data []byte, name string) ([]byte, Host, error) {
	before, root, err := parseMonitor(file, data)
	if err != nil {
		return nil, Host{}, err
	}
	i := slices.IndexFunc(before.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return nil, Host{}, ErrNoHost
	}
	n := hostNodes(root)[i]
	from, to := n.start, n.end
	if line := lineStart(data, from); blank(data[line:from]) {
		if end := lineEnd(data, to); blank(data[to:end]) && end < len(data) {
			from, to = line, end+1
		}
	}
	after := slices.Concat(data[:from], data[to:])

	want := slices.Concat(before.Hosts[:i], before.Hosts[i+1:])
	got, _, err := parseMonitor(file, after)
	if err != nil {
		return nil, Host{}, err
	}
	return after, before.Hosts[i], sameBut(before, got, want)
}

// sameBut makes sure that an edit did to the configuration what it was to do
// and no more: but for its hosts it is as before.
func sameBut(before, got Monitor, hosts []Host) error {
	before.Hosts = hosts
	if !reflect.DeepEqual(withoutLines(before), withoutLines(got)) {
		return errors.New("the file would not say what it should; nothing was changed, edit it by hand")
	}
	return nil
}

// withoutLines makes configurations comparable that stand otherwise in a file.
func withoutLines(m Monitor) Monitor {
	hosts := make([]Host, len(m.Hosts))
	for i, h := range m.Hosts {
		h.Line, h.PIDLine, h.RuleLines = 0, 0, nil
		h.Groups = slices.Concat([]string{}, h.Groups)
		h.PIDs = slices.Concat([]int{}, h.PIDs)
		h.Rules = slices.Concat([]dtc.ProcessRule{}, h.Rules)
		h.Retention = withoutRetentionLines(h.Retention)
		hosts[i] = h
	}
	m.Hosts = hosts
	m.Retention = withoutRetentionLines(m.Retention)
	m.Receivers, m.Maintenance = slices.Clone(m.Receivers), slices.Clone(m.Maintenance)
	for i := range m.Receivers {
		m.Receivers[i].Line = 0
	}
	for i := range m.Maintenance {
		m.Maintenance[i].Line = 0
	}
	return m
}

func withoutRetentionLines(list []Retention) []Retention {
	out := slices.Concat([]Retention{}, list)
	for i := range out {
		out[i].Line = 0
	}
	return out
}
