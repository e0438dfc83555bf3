package status

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
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
	memory, missing := c.memoryBytes(ctx)
	r.PIDWidth = c.host.pidWidth()
	since := proc.SinceBoot()
	return c.processesAt(ctx, sel, processNow{
		boot:   bootTime(),
		ticks:  proc.DurationToTicks(since),
		memory: memory,
	}, func(part []dtc.Process, last bool, notes []string) error {
		if last && missing != nil {
			notes = append(notes, fmt.Sprintf("shares of the memory are missing: %v", missing))
		}
		if hidden := c.host.hiddenNote(); last && hidden != "" {
			notes = append(notes, hidden)
		}
		r.Process, r.Partial, r.Notes = part, !last, notes
		return emit(r)
	})
}

// memoryBytes is how much memory the machine has, [dtc.AbsentFloat] with the
// reason if that cannot be told soon.
func (c *Collector) memoryBytes(ctx context.Context) (bytes float64, missing error) {
	ctx, cancel := context.WithTimeout(ctx, timeFor(ctx, stallTime))
	defer cancel()
	var total float64
	var err error
	if late := c.readings.within(ctx, dtc.StatusProcess, func() { total, err = c.host.memoryBytes() }); late != nil {
		return dtc.AbsentFloat(), late
	}
	if err != nil {
		return dtc.AbsentFloat(), err
	}
	return total, nil
}

func (c *Collector) processesAt(ctx context.Context, sel *selector, now processNow, deliver func([]dtc.Process, bool, []string) error) error {
	pids, err := c.host.running()
	if err != nil {
		return err
	}
	defer c.host.putPIDs(pids)
	drivers := c.host.ttyDrivers()
	s := sweep[dtc.Process]{
		fs: c.host.proc, sel: sel, stuck: &c.host.stuck, stall: stallTime, parts: &c.host.processParts, side: sideBySide(),
		open: func() reader[dtc.Process] {
			return &processReader{now: now, users: c.host.users.Load(), ttys: newTTYs(c.host, drivers)}
		},
	}
	return s.run(ctx, sel.pids(pids), deliver)
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

// memoryBytes is how much memory the machine has.
func (h *host) memoryBytes() (float64, error) {
	const label, unit = "MemTotal:", 1 << 10
	data, err := os.ReadFile(h.path("proc/meminfo"))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(label)); ok {
			total, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 52)
			return float64(total * unit), err
		}
	}
	return 0, errors.New("read " + h.path("proc/meminfo") + ": it does not say how much memory there is")
}

// processNow is what the figures of a process are computed from.
type processNow struct {
	boot   time.Time // on the clock of today
	ticks  uint64    // since then
	memory float64   // of the machine, in bytes
}

// processReader reads what ps aux prints of a process.
type processReader struct {
	now    processNow
	users  *proc.UserNames
	ttys   *ttys
	status proc.Status
	comm   []byte // of the process being read
}

func (*processReader) made() int { return 0 }

func (*processReader) notes() []string { return nil }

func (r *processReader) read(t *target, put func(dtc.Process)) {
	st := &t.stat
	r.comm = append(r.comm[:0], st.Comm...)
	p := dtc.Process{
		PID:        st.PID,
		PPID:       st.PPID,
		TTY:        r.ttys.name(st.TTY, st.PID),
		StartedAt:  r.now.boot.Add(proc.TicksToDuration(st.StartTicks)),
		CPUSeconds: proc.TicksToDuration(st.UserTicks + st.SysTicks).Seconds(),
		CPUPercent: r.now.cpuPercent(st),
		Name:       t.text(st.Comm),
		Threads:    st.Threads,
	}
	if !r.readStatus(t) {
		return // it has ended meanwhile
	}
	p.User = r.users.Name(r.status.UID)
	p.VSZBytes, p.RSSBytes = r.status.VMSizeBytes, r.status.VMRSSBytes
	p.MemPercent = 100 * float64(p.RSSBytes) / r.now.memory
	t.line = appendState(t.line[:0], st, &r.status)
	p.State = t.text(t.line)
	t.line = appendCommand(t.line[:0], t, r.comm)
	p.Command = t.text(t.line)
	put(p)
}

// readStatus reads what stat does not say. Of a thread of the kernel that is
// nothing but the user, and this is cheaper had.
func (r *processReader) readStatus(t *target) bool {
	if t.stat.KernelThread() {
		uid, err := t.in.Owner()
		r.status = proc.Status{UID: uid}
		return err == nil
	}
	data, err := t.in.Read("status")
	if err == nil {
		r.status.Parse(data)
	}
	return err == nil
}

// appendCommand appends the command line as ps shows it: the arguments with a
// space between them, a question mark if nothing is in them, or the name in
// brackets if there are none.
func appendCommand(b []byte, t *target, comm []byte) []byte {
	if t.stat.State != 'Z' && !t.stat.KernelThread() && !t.careful {
		data, err := t.in.ReadHead("cmdline", maxCommand)
		if err == nil && len(data) > 0 {
			start := len(b)
			if b = proc.AppendArguments(b, data); len(b) == start {
				b = append(b, '?')
			}
			return b
		}
	}
	b = append(proc.AppendPrintable(append(b, '['), comm), ']')
	if t.stat.State == 'Z' {
		b = append(b, " <defunct>"...)
	}
	return b
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
