package status

import (
	"context"
	"strconv"
	"strings"
	"time"

	"dtc"
	"dtc/internal/proc"
)

// maxCommand is how much of a command line is shown: as much as ps reads.
const maxCommand = 128<<10 - 1

// processes answers what ps aux prints, field by field. See ps(1).
func (c *Collector) processes(ctx context.Context, sel *selector, r *dtc.Report, emit func(*dtc.Report) error) error {
	pids, err := c.host.pids()
	if err != nil {
		return err
	}
	mem, err := c.memory(ctx)
	if err != nil {
		return err
	}
	r.PIDWidth = c.host.pidWidth()
	since := proc.SinceBoot()
	now := processNow{
		boot:   bootTime(),
		ticks:  proc.DurationToTicks(since),
		memory: float64(mem.TotalBytes),
	}
	s := sweep[dtc.Process]{
		fs: c.host.proc, sel: sel, stuck: &c.host.stuck, stall: stallTime, parts: &c.host.processParts,
		open: func() reader[dtc.Process] {
			return &processReader{now: now, users: c.host.users.load(), ttys: newTTYs(c.host)}
		},
	}
	return s.run(ctx, sel.pids(pids), func(part []dtc.Process, last bool, notes []string) error {
		r.Process, r.Partial, r.Notes = part, !last, notes
		return emit(r)
	})
}

// pidWidth returns how many digits the largest pid has, as ps finds it: one less
// than pid_max of proc_sys_kernel(5). 0 if that cannot be read.
func (h *host) pidWidth() int {
	most, err := strconv.Atoi(strings.TrimSpace(h.read("proc/sys/kernel/pid_max")))
	if err != nil || most < 2 {
		return 0
	}
	return len(strconv.Itoa(most - 1))
}

// processNow is what the figures of a process are computed from.
type processNow struct {
	boot   time.Time // on the clock of today
	ticks  uint64    // since then
	memory float64   // of the machine, in bytes
}

// processReader reads what ps aux prints of a process.
type processReader struct {
	now   processNow
	users *userNames
	ttys  *ttys
	text  text
	comm  []byte // of the process being read
	line  []byte
}

func (r *processReader) made() int { return r.text.made() }

func (*processReader) notes() []string { return nil }

func (r *processReader) read(t *target, put func(dtc.Process)) {
	in, st := t.in, &t.stat
	r.comm = append(r.comm[:0], st.Comm...)
	p := dtc.Process{
		PID:        st.PID,
		PPID:       st.PPID,
		TTY:        r.ttys.name(st.TTY, st.PID),
		StartedAt:  r.now.boot.Add(proc.TicksToDuration(st.StartTicks)),
		CPUSeconds: proc.TicksToDuration(st.UserTicks + st.SysTicks).Seconds(),
		CPUPercent: r.now.cpuPercent(st),
		Name:       r.text.string(st.Comm),
		Threads:    st.Threads,
	}
	var status proc.Status
	if st.KernelThread() {
		// Nothing of it is in status but the user, and that is cheaper had.
		status.UID, _ = in.Owner()
	} else {
		data, err := in.Read("status")
		if err != nil {
			return // it has ended meanwhile
		}
		status.Parse(data)
	}
	p.User = r.users.name(status.UID)
	p.VSZBytes, p.RSSBytes = status.VMSizeBytes, status.VMRSSBytes
	p.MemPercent = 100 * float64(status.VMRSSBytes) / r.now.memory
	p.State = r.text.string(appendState(r.line[:0], st, &status))
	p.Command = r.command(t)
	put(p)
}

// command is the command line as ps shows it: the arguments with a space
// between them, or the name in brackets if there are none.
func (r *processReader) command(t *target) string {
	line := r.line[:0]
	if t.stat.State != 'Z' && !t.stat.KernelThread() && !t.careful {
		data, err := t.in.ReadHead("cmdline", maxCommand)
		if err == nil && len(data) > 0 {
			line = appendArguments(line, data)
			r.line = line
			return r.text.string(line)
		}
	}
	line = append(appendPrintable(append(line, '['), r.comm), ']')
	if t.stat.State == 'Z' {
		line = append(line, " <defunct>"...)
	}
	r.line = line
	return r.text.string(line)
}

// cpuPercent is what ps calls %CPU: the time on processors over the time since
// the start.
func (n processNow) cpuPercent(st *proc.Stat) float64 {
	if n.ticks <= st.StartTicks {
		return 0
	}
	return 100 * float64(st.UserTicks+st.SysTicks) / float64(n.ticks-st.StartTicks)
}

// appendState appends what ps calls STAT: the state and its flags in the order
// of ps.
func appendState(b []byte, st *proc.Stat, status *proc.Status) []byte {
	b = append(b, st.State)
	if st.Nice < 0 {
		b = append(b, '<')
	}
	if st.Nice > 0 {
		b = append(b, 'N')
	}
	if status.VMLckBytes > 0 {
		b = append(b, 'L')
	}
	if st.Session == st.PID {
		b = append(b, 's')
	}
	if st.Threads > 1 {
		b = append(b, 'l')
	}
	if st.PGrp == st.TPGID {
		b = append(b, '+')
	}
	return b
}
