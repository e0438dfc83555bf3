package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"dtc"
	"dtc/internal/ca"
	"dtc/internal/service"
	"dtc/internal/status"
	"dtc/internal/wire"
)

// Config tells how reading the configuration went: err is one line for each
// fault.
func Config(path string, err error) Check {
	return Check{"config", func(context.Context) []Finding {
		if err == nil {
			return []Finding{okf("%s has no mistake", path)}
		}
		var found []Finding
		for line := range strings.Lines(err.Error()) {
			found = append(found, badf(asOwner(err), "%s", strings.TrimSpace(line)))
		}
		return found
	}}
}

// asOwner is the advice to who may not look.
func asOwner(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "run this as the owner of the home, or with sudo"
	}
	return ""
}

// Certificates looks at what a home proves itself with: that it is there and
// belongs together, that nobody else may read the key, and its dates.
func Certificates(dir string, role dtc.Role) Check {
	return Check{"certificate", func(context.Context) []Finding {
		credentials, err := ca.Load(dir, role)
		if err != nil {
			return []Finding{badf(asOwner(err), "%v", err)}
		}
		var found []Finding
		for _, line := range credentials.Warnings(time.Now()) {
			found = append(found, warnf("", "%s", line))
		}
		if state, err := credentials.State(); err == nil && len(found) == 0 {
			found = append(found, okf("the %s's is good until %s, and its key is private", role, state.Expires.Format(time.DateOnly)))
		}
		return found
	}}
}

// soon is how long before its end a certificate is told of.
const soon = 30 * 24 * time.Hour

// Register looks at the fleet's CA and the certificates that it has given.
func Register(dir string) Check {
	return Check{"fleet", func(context.Context) []Finding {
		authority, err := ca.Open(dir)
		if err != nil {
			return []Finding{badf(asOwner(err), "%v", err)}
		}
		var found []Finding
		now, good := time.Now(), 0
		for _, r := range authority.Issued() {
			switch {
			case r.Role == dtc.RoleMonitor || !r.Revoked.IsZero():
			case now.After(r.Expires):
				found = append(found, badf("'dtc invite' prints the line that joins it again, 'dtc forget' takes it out",
					"the certificate of %s ended on %s", r.Name, r.Expires.Format(time.DateOnly)))
			case r.Role == dtc.RoleAgent && r.Expires.Sub(now) < soon:
				found = append(found, warnf("it renews itself when it is reachable; else 'dtc invite' prints the line that joins it again",
					"the certificate of %s ends on %s", r.Name, r.Expires.Format(time.DateOnly)))
			default:
				good++
			}
		}
		return append([]Finding{okf("certificates that are good for %d days and more: %d", int(soon/(24*time.Hour)), good)}, found...)
	}}
}

// Running tells whether the program runs in a home, by its local socket, and
// whether it is a service. start says how it is started by hand.
func Running(socket string, s service.Service, start string) Check {
	return Check{"service", func(ctx context.Context) []Finding {
		runs := running(ctx, socket)
		st, err := s.Status(ctx)
		switch {
		case err != nil && runs:
			return []Finding{okf("it runs; %v", err)}
		case err != nil:
			return []Finding{badf(start, "nothing runs in the home %s", s.Home)}
		case !st.Installed && runs:
			return []Finding{warnf("'"+s.Name+" service install', as root, does that", "it runs, but nobody starts it with the machine or when it ends")}
		case !st.Installed:
			return []Finding{badf(start, "nothing runs in the home %s, and it is no service", s.Home)}
		case !runs && st.Running && st.Home != s.Home:
			return []Finding{badf("name that with --home", "nothing runs in the home %s; the service runs in %s", s.Home, st.Home)}
		case !runs:
			return []Finding{badf("start it with '"+s.Name+" service start'; "+s.LogHint(), "nothing answers in the home %s; the service is %s", s.Home, st.State)}
		case !st.Boots:
			return []Finding{warnf("'"+s.Name+" service install', as root, mends that", "it runs, but does not start with the machine")}
		default:
			return []Finding{okf("it runs, and starts with the machine")}
		}
	}}
}

// running tells whether the program answers on its local socket.
func running(ctx context.Context, socket string) bool {
	return wire.Control(ctx, socket, "", nil, nil) == nil
}

// Port tells whether local_host can be listened on: by the program that runs in
// the home, or by one that is to.
func Port(at netip.AddrPort, socket string) Check {
	return Check{"port", func(ctx context.Context) []Finding {
		if !at.IsValid() {
			return []Finding{okf("no local_host is set: nobody connects to this one")}
		}
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", at.String())
		runs := running(ctx, socket)
		switch {
		case err == nil:
			_ = ln.Close() // it was to show that it can be opened
			if runs {
				return []Finding{badf("it tries again and again, see its log; 'reload' has it try now", "the program runs, but nothing listens on %s", at)}
			}
			return []Finding{okf("%s is free", at)}
		case taken(err) && runs:
			return []Finding{okf("%s is listened on%s", at, holder(ctx, at.Port()))}
		case taken(err):
			return []Finding{badf("end what has it, or set another local_host", "%s is taken%s", at, holder(ctx, at.Port()))}
		case errors.Is(err, fs.ErrPermission):
			return []Finding{warnf("a service of root, or the capability CAP_NET_BIND_SERVICE, may", "this user may not listen on %s", at)}
		default:
			return []Finding{badf("set local_host to an address of this machine", "nobody can listen on %s here: %v", at, err)}
		}
	}}
}

// holder names who listens on a port, as far as that can be seen.
func holder(ctx context.Context, port uint16) string {
	name := ""
	err := status.New(status.Options{}).Get(ctx, dtc.Query{Status: dtc.StatusSockets}, func(r *dtc.Report) error {
		for _, s := range r.Sockets {
			if s.State == "LISTEN" && s.LocalPort == int(port) && len(s.Owners) > 0 {
				name = fmt.Sprintf(" by %s, pid %d", s.Owners[0].Name, s.Owners[0].PID)
			}
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return name
}

// Folders looks at folders of a home that the program writes to: whether they
// are there and how much room is left. below is the share of a disk in percent
// below which it is not filled any more.
func Folders(below float64, dirs ...string) Check {
	return Check{"disk", func(context.Context) []Finding {
		found := make([]Finding, 0, len(dirs))
		for _, dir := range dirs {
			found = append(found, folder(below, dir))
		}
		return found
	}}
}

func folder(below float64, dir string) Finding {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return okf("%s is not there yet: it is made when it is needed", dir)
	case err != nil:
		return badf(asOwner(err), "look at %s: %v", dir, err)
	case !info.IsDir():
		return badf("move it away", "%s is no folder", dir)
	}
	free, total, err := space(dir)
	if err != nil || total == 0 {
		return warnf("", "how much room is left in %s is not known: %v", dir, err)
	}
	share := 100 * float64(free) / float64(total)
	const gib = 1 << 30
	text := fmt.Sprintf("%s has %.1f GiB free, %.0f %% of its disk", dir, float64(free)/gib, share)
	switch {
	case share < below:
		return badf(fmt.Sprintf("below %.0f %% nothing is written to it: make room, or set a <retention>", below), "%s", text)
	case share < 2*below:
		return warnf(fmt.Sprintf("below %.0f %% nothing is written to it: make room, or set a <retention>", below), "%s", text)
	default:
		return okf("%s", text)
	}
}
