package status

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"dtc"
)

// services answers which jobs of the system launchd has. Its own list it tells
// only to launchctl, so the jobs' files and the processes are read.
func (c *Collector) services(ctx context.Context) ([]dtc.Service, []string, error) {
	jobs, notes := launchJobs("/System/Library/LaunchDaemons", "/Library/LaunchDaemons")
	running, err := launched(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list the processes: %w", err)
	}
	notes = append(notes, "services are what the files of launchd's jobs and the processes tell: launchd tells its list to launchctl alone")
	return launchServices(jobs, running), notes, nil
}

// launched lists the processes whose parent is launchd. Those of other users
// tell their program only to root.
func launched(ctx context.Context) ([]launchProcess, error) {
	infos, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	var list []launchProcess
	for i := range infos {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if infos[i].Eproc.Ppid != 1 {
			continue
		}
		pid, start := int(infos[i].Proc.P_pid), infos[i].Proc.P_starttime
		data, err := unix.SysctlRaw("kern.procargs2", pid)
		if err != nil {
			continue
		}
		p := launchProcess{pid: pid, since: time.Unix(start.Sec, int64(start.Usec)*1e3)}
		p.program, p.arguments = parseProcessArguments(data)
		list = append(list, p)
	}
	return list, nil
}
