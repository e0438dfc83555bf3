package status

import (
	"slices"
	"strconv"
	"strings"

	"dtc"
)

// Whether an item is wanted, by all criteria that its status knows: see
// [dtc.Selection.Check].

// The name of a process that the kernel has cut is decided about elsewhere, see
// wantsNamed.
func (s *selector) wantsProcessItem(p *dtc.Process) bool {
	return s.wantsPID(p.PID) && s.wantsUser(p.User) && (isCut(p.Name) || s.wantsName(p.Name, plainName(p.Name)))
}

func (s *selector) wantsFile(f *dtc.OpenFile) bool {
	return s.wantsPID(f.PID) && s.wantsUser(f.User) && (isCut(f.Command) || s.wantsName(f.Command, plainName(f.Command))) &&
		(len(s.Paths) == 0 || s.wantsPath(f.Name, pathOf(f))) &&
		(len(s.Ports) == 0 || s.wantsPort(portsOf(f)...))
}

func (s *selector) wantsDisk(d *dtc.Disk) bool { return s.wantsPath(d.MountedOn) }

func (s *selector) wantsInterface(i *dtc.Interface) bool {
	return s.wantsName(append(strings.Fields(i.AltNames), i.Name)...)
}

// A socket is wanted for any of the processes that have it open.
func (s *selector) wantsSocket(k *dtc.Socket) bool {
	if !s.wantsUser(k.User) || !s.wantsPort(k.LocalPort, k.RemotePort) {
		return false
	}
	return len(s.PIDs)+len(s.Names) == 0 || slices.ContainsFunc(k.Owners, func(o dtc.SocketOwner) bool {
		return s.wantsPID(o.PID) && (s.wantsName(o.Name, plainName(o.Name)) || isCut(o.Name) && s.isStartOfName(o.Name))
	})
}

// isStartOfName tells whether a name that the kernel has cut is what it would
// have made of a wanted one.
func (s *selector) isStartOfName(name string) bool {
	return slices.ContainsFunc(s.Names, func(wanted string) bool { return strings.HasPrefix(wanted, name) })
}

func (s *selector) wantsLogin(u *dtc.User) bool { return s.wantsPID(u.PID) && s.wantsUser(u.Name) }

func (s *selector) wantsService(v *dtc.Service) bool {
	return s.wantsPID(v.PID) && s.wantsName(v.Name, strings.TrimSuffix(v.Name, ".service"))
}

// pathOf returns the path of a file without what lsof says behind it: that it is
// deleted, on which server it is, why it cannot be read, what kind of socket it
// is.
func pathOf(f *dtc.OpenFile) string {
	if f.Type == "unix" {
		path, _, _ := strings.Cut(f.Name, " type=")
		return path
	}
	path, more, ok := cutLast(f.Name, " (")
	if ok && (more == "deleted)" || strings.HasSuffix(more, ")") && strings.Contains(more, ":")) {
		return path
	}
	return f.Name
}

// portsOf returns the ports of both ends of a socket of the internet:
// "10.0.0.1:22->10.0.0.9:40112 (ESTABLISHED)", "*:22 (LISTEN)".
func portsOf(f *dtc.OpenFile) []int {
	if f.Type != "IPv4" && f.Type != "IPv6" {
		return nil
	}
	ends, _, _ := strings.Cut(f.Name, " ")
	var ports []int
	for end := range strings.SplitSeq(ends, "->") {
		_, text, _ := cutLast(end, ":")
		if port, err := strconv.Atoi(text); err == nil {
			ports = append(ports, port)
		}
	}
	return ports
}

// cutLast is [strings.Cut] round the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
