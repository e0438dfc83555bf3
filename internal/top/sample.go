package top

import (
	"math"
	"time"

	"dtc"
)

// Answers is what came from the hosts since the last Answers.
type Answers struct {
	Now       time.Time
	Hosts     []HostAnswer
	Processes *ProcessAnswer // nil for none
	Files     *FileAnswer    // nil for none
}

// HostAnswer is what one host said of itself, or why it said nothing.
type HostAnswer struct {
	Index  int // in Options.Hosts
	At     time.Time
	Err    error
	Sample Sample // if Err is nil
}

// Sample is a host's state at one moment. A figure that is not known is NaN or
// [dtc.Absent].
type Sample struct {
	CPU    float64 // percent of all processors that did not idle or wait for a disk
	Cores  int
	Load   [3]float64 // averages of 1, 5 and 15 minutes
	Uptime float64    // seconds
	Memory dtc.Memory
}

// nothing is a sample of which nothing is known.
func nothing() Sample {
	nan := dtc.AbsentFloat()
	return Sample{
		CPU: nan, Cores: dtc.Absent, Load: [3]float64{nan, nan, nan}, Uptime: nan,
		Memory: dtc.Memory{
			TotalBytes: dtc.Absent, UsedBytes: dtc.Absent, AvailableBytes: dtc.Absent,
			SwapTotalBytes: dtc.Absent, SwapUsedBytes: dtc.Absent,
		},
	}
}

// takeCPU keeps what a sample needs of an answer.
func (s *Sample) takeCPU(c *dtc.CPU) {
	s.Cores, s.Uptime = c.LogicalCores, c.UptimeSeconds
	s.Load = [3]float64{c.Load1, c.Load5, c.Load15}
	for i := range c.Percent {
		if c.Percent[i].CPU == "all" || i == 0 {
			s.CPU = busy(&c.Percent[i])
		}
		if c.Percent[i].CPU == "all" {
			break
		}
	}
}

// busy returns the share of time in which processors worked, NaN if unknown.
func busy(p *dtc.CPUPercent) float64 {
	idle := p.Idle
	if !math.IsNaN(p.IOWait) {
		idle += p.IOWait
	}
	return min(max(100-idle, 0), 100)
}

// memoryPercent returns the used share of the memory, used as free counts it.
func (s *Sample) memoryPercent() float64 {
	return share(s.Memory.UsedBytes, s.Memory.TotalBytes)
}

// swapPercent returns the used share of the swap space.
func (s *Sample) swapPercent() float64 {
	return share(s.Memory.SwapUsedBytes, s.Memory.SwapTotalBytes)
}

func share(part, whole int64) float64 {
	if part < 0 || whole <= 0 {
		return math.NaN()
	}
	return min(float64(part)/float64(whole)*100, 100)
}

// What a host is marked for.
const (
	fullMemory  = 90 // percent of the memory
	fullSwap    = 90 // percent of the swap space
	loadPerCore = 2  // 5-minute load for each processor
)

// alertHelp says in a few lines what the alerts mean.
const alertHelp = `MEM   90% or more of the memory is used (total - available, as free says)
LOAD  the load of the last 5 minutes is 2 or more for each processor
SWAP  90% or more of the swap space is used
A host that does not answer shows why, and for how long, in place of figures.`

// alerts returns the marks of a host that answers, the worst first.
func (s *Sample) alerts() []string {
	var all []string
	if s.memoryPercent() >= fullMemory {
		all = append(all, "MEM")
	}
	if s.Cores > 0 && s.Load[1] >= loadPerCore*float64(s.Cores) {
		all = append(all, "LOAD")
	}
	if s.swapPercent() >= fullSwap {
		all = append(all, "SWAP")
	}
	return all
}
