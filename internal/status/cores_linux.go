package status

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"dtc"
)

// cores are the processors of the machine.
type cores struct {
	model    string
	logical  int
	physical int
}

// coresCache keeps what took many files to read, until a processor is switched
// on or off.
type coresCache struct {
	mu     sync.Mutex
	online string
	cores  cores
}

func (c *coresCache) get(h *host) cores {
	c.mu.Lock()
	defer c.mu.Unlock()
	online, _ := os.ReadFile(h.path("sys/devices/system/cpu/online"))
	if c.cores.logical == 0 || c.online != string(online) {
		c.cores, c.online = h.readCores(), string(online)
	}
	return c.cores
}

// readCores counts as lscpu(1) does: a core is what a set of processors shares.
func (h *host) readCores() cores {
	info, _ := os.ReadFile(h.path("proc/cpuinfo"))
	c := parseCPUInfo(info)
	if c.model == "" {
		model, _ := os.ReadFile(h.path("proc/device-tree/model"))
		c.model = strings.TrimRight(string(model), "\x00\n")
	}
	dirs, _ := filepath.Glob(h.path("sys/devices/system/cpu/cpu[0-9]*"))
	if len(dirs) > 0 {
		c.logical = len(dirs)
	}
	siblings := make(map[string]bool)
	for _, dir := range dirs {
		list, err := os.ReadFile(filepath.Join(dir, "topology/core_cpus_list"))
		if err != nil { // kernels before 5.3
			list, err = os.ReadFile(filepath.Join(dir, "topology/thread_siblings_list"))
		}
		if err == nil {
			siblings[string(list)] = true
		}
	}
	if len(siblings) > 0 {
		c.physical = len(siblings)
	}
	return c
}

// parseCPUInfo reads proc_cpuinfo(5), whose keys differ from one architecture to
// the next.
func parseCPUInfo(data []byte) cores {
	var c cores
	var socket, core string
	physical := make(map[string]bool)
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			c.logical++
		case "model name", "cpu model", "cpu":
			if c.model == "" {
				c.model = value
			}
		case "physical id":
			socket = value
		case "core id":
			core = value
		case "":
			if core != "" {
				physical[socket+" "+core] = true
			}
			socket, core = "", ""
		}
	}
	if core != "" {
		physical[socket+" "+core] = true
	}
	c.physical = len(physical)
	if c.physical == 0 {
		c.physical = dtc.Absent
	}
	return c
}
