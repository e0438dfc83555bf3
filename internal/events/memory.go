package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"dtc"
	"dtc/internal/atomicfile"
)

// memoryDelay is how long a change may stay unwritten: a start of a thousand
// watches is one write of the file.
const memoryDelay = 500 * time.Millisecond

// memoryRetry is the pause after a write that failed.
const memoryRetry = 10 * time.Second

// memoryTouch is how often the file is marked as up to date while nothing
// changes: what was written into the logs since then is read at the next start.
const memoryTouch = 10 * time.Minute

// Memory is what the monitor last knew of each host, so that a death that fell
// into the absence of both the monitor and the agent is told as one. Losing it
// loses no event that has been written.
type Memory struct {
	path string
	log  *slog.Logger
	wake chan struct{}
	sync func(context.Context) error // see SyncFirst

	mu    sync.Mutex
	hosts map[string]*HostMemory // guarded by mu; by address
	dirty bool                   // guarded by mu
}

// HostMemory is what is remembered of one host.
type HostMemory struct {
	HostState
	Processes map[int]ProcessMemory  `json:"processes,omitempty"` // last seen, by pid
	Rules     map[string]*RuleMemory `json:"rules,omitempty"`     // by name
}

// HostState is what is remembered of a host itself.
type HostState struct {
	Boot        string    `json:"boot,omitempty"`        // id of the boot last seen
	BootSeen    time.Time `json:"boot_seen,omitzero"`    // when it was first seen, on the monitor's clock
	Unreachable bool      `json:"unreachable,omitempty"` // told, and not told reachable since
	Stopped     bool      `json:"stopped,omitempty"`     // its agent, on purpose; told, and not told reachable since
}

// ProcessMemory is the identity of a process that was seen alive.
type ProcessMemory struct {
	Start uint64    `json:"start"` // as [dtc.ProcessID]; 0: it is missing, and only its name is known
	Boot  string    `json:"boot"`
	Name  string    `json:"name,omitempty"`
	Seen  time.Time `json:"seen,omitzero"`  // it was alive then, on the monitor's clock
	Dead  bool      `json:"dead,omitempty"` // its end has been told
}

// ID returns the identity of the process that had pid.
func (p ProcessMemory) ID(pid int) dtc.ProcessID { return dtc.ProcessID{PID: pid, Start: p.Start} }

// OpenMemory reads the file at path. A file that is not there or makes no
// sense is an empty memory: it only helps.
func OpenMemory(path string, log *slog.Logger) (*Memory, error) {
	m := &Memory{path: path, log: log, wake: make(chan struct{}, 1), hosts: map[string]*HostMemory{}}
	m.SyncFirst(func(context.Context) error { return nil })
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read what was last known of the hosts: %w", err)
	default:
		if err := json.Unmarshal(data, &m.hosts); err != nil || m.hosts == nil {
			log.Warn("what was last known of the hosts is not readable and starts empty", "path", path, "error", err)
			m.hosts = map[string]*HostMemory{}
		}
		m.tidy()
	}
	return m, nil
}

// tidy drops what somebody has written as null.
func (m *Memory) tidy() {
	maps.DeleteFunc(m.hosts, func(_ string, h *HostMemory) bool { return h == nil })
	for _, h := range m.hosts {
		maps.DeleteFunc(h.Rules, func(_ string, r *RuleMemory) bool { return r == nil })
	}
}

// Written returns when the memory last reached the disk: what happened after
// that stands in the logs alone. It is the zero time if there is no file.
func (m *Memory) Written() time.Time {
	info, err := os.Stat(m.path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// SyncFirst has sync called before each write of the memory: it makes durable
// what the memory says has been told. Else a power loss could leave a memory of
// an end whose line is lost, and the line would not be written again. It is to be
// called before Run.
func (m *Memory) SyncFirst(sync func(context.Context) error) { m.sync = sync }

// Host returns what is remembered of the host at address.
func (m *Memory) Host(address string) HostMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.hosts[address]
	if h == nil {
		return HostMemory{}
	}
	return h.clone()
}

func (h *HostMemory) clone() HostMemory {
	c := *h
	c.Processes, c.Rules = maps.Clone(h.Processes), maps.Clone(h.Rules)
	for name, r := range c.Rules {
		own := r.clone()
		c.Rules[name] = &own
	}
	return c
}

// SetState remembers the boot of the host at address, and whether it has been
// told unreachable or its agent stopped. Run writes it soon.
func (m *Memory) SetState(address string, s HostState) {
	m.change(address, func(h *HostMemory) { h.HostState = s })
}

// SetProcess remembers a process that is alive on the host at address.
func (m *Memory) SetProcess(address string, pid int, p ProcessMemory) {
	m.change(address, func(h *HostMemory) {
		if h.Processes == nil {
			h.Processes = map[int]ProcessMemory{}
		}
		h.Processes[pid] = p
	})
}

// EndProcess remembers that the end of a process has been told.
func (m *Memory) EndProcess(address string, pid int) {
	m.change(address, func(h *HostMemory) {
		if p, ok := h.Processes[pid]; ok {
			p.Dead = true
			h.Processes[pid] = p
		}
	})
}

// DropProcess forgets a process: its end has been told, or nobody watches it.
func (m *Memory) DropProcess(address string, pid int) {
	m.change(address, func(h *HostMemory) { delete(h.Processes, pid) })
}

func (m *Memory) change(address string, with func(*HostMemory)) {
	m.mu.Lock()
	h := m.hosts[address]
	if h == nil {
		h = &HostMemory{}
		m.hosts[address] = h
	}
	with(h)
	m.dirty = true
	m.mu.Unlock()
	m.signal()
}

// Forget drops every host that keep does not want.
func (m *Memory) Forget(keep func(address string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.hosts)
	maps.DeleteFunc(m.hosts, func(a string, _ *HostMemory) bool { return !keep(a) })
	m.dirty = m.dirty || len(m.hosts) != before
}

// touch marks the file as up to date, if it is.
func (m *Memory) touch() {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirty {
		return
	}
	if err := os.Chtimes(m.path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("mark what is known of the hosts as up to date; the next start takes longer", "path", m.path, "error", err)
	}
}

// Run writes changes until ctx is done, and then the last ones. What cannot be
// written is tried again.
func (m *Memory) Run(ctx context.Context) error {
	idle := time.NewTicker(memoryTouch)
	defer idle.Stop()
	for delay := memoryDelay; ; {
		select {
		case <-ctx.Done():
			return m.flush(context.WithoutCancel(ctx))
		case <-idle.C:
			m.touch()
			continue
		case <-m.wake:
		}
		t := time.NewTimer(delay)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		delay = memoryDelay
		if err := m.flush(context.WithoutCancel(ctx)); err != nil {
			m.log.Error("remember the state of the hosts", "path", m.path, "error", err)
			delay = memoryRetry
			m.signal()
		}
	}
}

func (m *Memory) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Memory) flush(ctx context.Context) error {
	m.mu.Lock()
	if !m.dirty {
		m.mu.Unlock()
		return nil
	}
	hosts := make(map[string]HostMemory, len(m.hosts))
	for address, h := range m.hosts {
		hosts[address] = h.clone() // so that nobody waits while it is written
	}
	m.dirty = false
	m.mu.Unlock()
	err := m.write(ctx, hosts)
	if err != nil {
		m.mu.Lock()
		m.dirty = true
		m.mu.Unlock()
	}
	return err
}

func (m *Memory) write(ctx context.Context, hosts map[string]HostMemory) error {
	data, err := json.Marshal(hosts)
	if err != nil {
		return err
	}
	if err := m.sync(ctx); err != nil {
		return err
	}
	return atomicfile.Write(m.path, data, 0o600)
}
