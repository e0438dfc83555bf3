package notify

import (
	"net/netip"
	"slices"
	"strings"

	"dtc"
)

// roster is the hosts that the monitor watches.
type roster struct {
	hosts     []Host
	byAddress map[string]*Host
	byIP      map[string]*Host // the first of each
}

func newRoster(hosts []Host) *roster {
	r := &roster{hosts: hosts, byAddress: map[string]*Host{}, byIP: map[string]*Host{}}
	for i := range hosts {
		h := &hosts[i]
		r.byAddress[h.Address] = h
		if ip := ipOf(h.Address); r.byIP[ip] == nil {
			r.byIP[ip] = h
		}
	}
	return r
}

// ipOf returns the ip of an address, that of a host which only ships logs being
// one already.
func ipOf(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return at.Addr().String()
	}
	return address
}

// host returns whom an event is of, nil if it is not watched.
func (r *roster) host(e *dtc.Event) *Host {
	if h := r.byAddress[e.Address]; h != nil || e.Kind != dtc.EventLog {
		return h
	}
	return r.byIP[ipOf(e.Address)]
}

// names returns all by which the host of an event may be called.
func (r *roster) names(e *dtc.Event) []string {
	names := []string{e.Host, e.Address, ipOf(e.Address)}
	if h := r.host(e); h != nil {
		names = append(append(names, h.Name), h.Groups...)
	}
	return names
}

// hosts chooses hosts by the items that name them. It remembers what it found
// of those that are watched.
type hosts struct {
	roster *roster
	fits   func(name string) bool
	found  map[string]bool // by address
}

func newHosts(r *roster, fits func(string) bool) *hosts {
	return &hosts{roster: r, fits: fits, found: map[string]bool{}}
}

// has says whether the host of an event is one of them.
func (s *hosts) has(e *dtc.Event) bool {
	fit, ok := s.found[e.Address]
	if !ok {
		fit = slices.ContainsFunc(s.roster.names(e), s.fits)
		if s.roster.byAddress[e.Address] != nil {
			s.found[e.Address] = fit
		}
	}
	return fit
}

// watches says whether what an event is of is watched still. Where it is not,
// nobody will tell that it is well again.
func (r *roster) watches(e *dtc.Event) bool {
	if e.Kind == dtc.EventLog || ofStore(e) {
		return true
	}
	h := r.byAddress[e.Address]
	switch {
	case h == nil:
		return false
	case e.Kind != dtc.EventProcess:
		return true
	case e.Rule != "":
		return slices.Contains(h.Rules, e.Rule)
	default:
		return slices.Contains(h.PIDs, e.PID)
	}
}

// hasHost says whether an item names a host or a group.
func (r *roster) hasHost(fits func(string) bool) bool {
	return slices.ContainsFunc(r.hosts, func(h Host) bool {
		return fits(h.Name) || fits(h.Address) || fits(ipOf(h.Address)) || slices.ContainsFunc(h.Groups, fits)
	})
}

func (r *roster) hasRule(fits func(string) bool) bool {
	return slices.ContainsFunc(r.hosts, func(h Host) bool { return slices.ContainsFunc(h.Rules, fits) })
}

// filter chooses events by a list of items, see [Receiver].
type filter struct {
	states []dtc.State // one of them, if there are any
	places []item      // one of them, if there are any
	rules  []item      // one of them, if there are any
}

// item is the name of a host, a group or a rule, or a glob of such names.
type item struct {
	fits   func(name string) bool
	hosts  *hosts // that it names
	isRule bool   // it may be a rule's, too
}

func newFilter(items []string, r *roster) *filter {
	f := &filter{}
	for _, text := range items {
		if slices.Contains(dtc.States(), dtc.State(text)) {
			f.states = append(f.states, dtc.State(text))
			continue
		}
		fits := fitting(text)
		host, rule := r.hasHost(fits), r.hasRule(fits)
		if rule && !host {
			f.rules = append(f.rules, item{fits: fits, isRule: true})
			continue
		}
		// What names nothing yet narrows all the same: who is told of a host that is
		// still to come is not told of all others meanwhile.
		f.places = append(f.places, item{fits: fits, hosts: newHosts(r, fits), isRule: rule || !host})
	}
	return f
}

// fitting returns what tells whether a name is meant by an item.
func fitting(text string) func(name string) bool {
	if ip, err := netip.ParseAddr(text); err == nil {
		text = ip.String()
	} else if at, err := netip.ParseAddrPort(text); err == nil {
		text = at.String()
	} else if strings.ContainsAny(text, `*?[\`) && !strings.HasPrefix(text, "/") {
		if fits, err := dtc.NameMatcher(text); err == nil {
			return fits
		}
	}
	return func(name string) bool { return name == text }
}

// covers says whether an event is one of those that the items name.
func (f *filter) covers(e *dtc.Event) bool {
	if len(f.states) > 0 && !f.names(e.State) {
		return false
	}
	return f.fitsPlace(e) && f.fitsRule(e)
}

// wants says whether a receiver with this filter is told of an event for its own
// sake: if it is wrong, or named.
func (f *filter) wants(e *dtc.Event) bool {
	return f.covers(e) && (isWrong(e.State) || f.names(e.State))
}

func (f *filter) names(s dtc.State) bool { return slices.Contains(f.states, s) }

func (f *filter) fitsPlace(e *dtc.Event) bool {
	if len(f.places) == 0 {
		return true
	}
	if e.Kind == dtc.EventNotify || ofStore(e) { // it is no host's: it must be asked for
		return f.names(e.State)
	}
	return slices.ContainsFunc(f.places, func(i item) bool {
		return i.hosts.has(e) || i.isRule && e.Rule != "" && i.fits(e.Rule)
	})
}

func (f *filter) fitsRule(e *dtc.Event) bool {
	if len(f.rules) == 0 {
		return true
	}
	if e.Kind != dtc.EventProcess { // it has no rule: it must be asked for
		return f.names(e.State)
	}
	return e.Rule != "" && slices.ContainsFunc(f.rules, func(i item) bool { return i.fits(e.Rule) })
}

// isWrong says whether a state is bad news.
func isWrong(s dtc.State) bool {
	switch s {
	case dtc.StateDead, dtc.StateMissing, dtc.StateCount, dtc.StateRestarted,
		dtc.StateUnreachable, dtc.StateRebooted, dtc.StateStopped, dtc.StateRefused,
		dtc.StateGap, dtc.StatePaused, dtc.StateCorrupt, dtc.StateUndelivered:
		return true
	default:
		return false
	}
}
