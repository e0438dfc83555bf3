package config

import (
	"slices"
	"strings"

	"dtc"
)

// rule says what an element may hold.
type rule struct {
	name   string
	in     []*rule     // the elements in it; nil: it holds a value, or nothing
	bare   bool        // it holds nothing, and all that it says stands in its attributes
	attrs  []attribute // that it may have
	repeat bool        // it may stand more than once
	empty  bool        // it may be empty, and then counts as absent
	want   string      // the value that is expected
}

// holdsValue says whether it has a text.
func (r *rule) holdsValue() bool { return r.in == nil && !r.bare }

func (r *rule) child(name string) *rule {
	i := slices.IndexFunc(r.in, func(c *rule) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return r.in[i]
}

const (
	wantAddress = "ip:port as in 10.0.0.7:7701, or [ip]:port for IPv6"
	wantSeconds = "a number of seconds from 1, as in 60"
	wantPIDs    = "pids separated by commas, as in 812,1044"
	wantAlias   = "PATH,ALIAS as in /var/log/app.log,app.log"
)

// agentRules describes agent.xml. The name of the root is free.
func agentRules() *rule {
	return &rule{in: []*rule{
		{name: "local_host", want: wantAddress},
		{name: "monitor_host", want: wantAddress},
		{name: "scan_file_time", want: wantSeconds, empty: true},
		{name: "monitor_files", in: []*rule{
			{name: "file_alias", want: wantAlias, repeat: true, attrs: []attribute{{name: "from"}}},
		}},
	}}
}

// monitorRules describes monitor.xml.
func monitorRules() *rule {
	return &rule{in: []*rule{
		{name: "local_host", want: wantAddress},
		{name: "detect_interval_time", want: wantSeconds, empty: true},
		{name: "remote_host", repeat: true, in: []*rule{
			{name: "ip_port", want: wantAddress},
			{name: "name", want: "a name", empty: true},
			{name: "group", want: "the name of a group", empty: true, repeat: true},
			{name: "monitor_pid", want: wantPIDs, empty: true},
			{name: processElement, bare: true, repeat: true, attrs: processAttributes()},
			{name: retentionElement, bare: true, repeat: true, attrs: retentionAttributes()},
			{name: "detect_interval_time", want: wantSeconds, empty: true},
		}},
		{name: processElement, bare: true, repeat: true, attrs: processAttributes()},
		{name: retentionElement, bare: true, repeat: true, attrs: retentionAttributes()},
		{name: "notify", repeat: true, attrs: notifyAttributes(), in: notifyKinds()},
		{name: "maintenance", bare: true, repeat: true, attrs: maintenanceAttributes()},
	}}
}

// expected lists what may stand in an element, for the fault of something else.
func (r *rule) expected() string {
	names := make([]string, len(r.in))
	for i, c := range r.in {
		names[i] = "<" + c.name + ">"
	}
	return oneOf(names)
}

// inside says what may stand in an element that has no text.
func (r *rule) inside() string {
	if r.bare {
		return "nothing there but attributes in its tag"
	}
	return "only elements there: " + r.expected()
}

// oneOf lists what is possible.
func oneOf(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}

// meant asks whether the element in r was meant that is most like name, or of
// whose name it is a part; "" if there is none.
func (r *rule) meant(name string) string {
	name = strings.ToLower(name)
	names := make([]string, len(r.in))
	for i, c := range r.in {
		names[i] = c.name
	}
	best := dtc.Nearest(name, names)
	if i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, name) }); best == "" && i >= 0 {
		best = names[i]
	}
	if best == "" {
		return ""
	}
	return " (did you mean <" + best + ">?)"
}
