package watch

import (
	"sync"
	"time"

	"dtc"
	"dtc/internal/proc"
)

const (
	// commandPatience is how long the command line of one process is waited
	// for. It comes in microseconds, unless somebody holds the lock on the memory
	// of that process: a page that a dead file server is to deliver, say.
	commandPatience = 200 * time.Millisecond

	// maxLateCommands is how many may be waited for at a time: each holds a
	// thread of ours.
	maxLateCommands = 4
)

// commands reads command lines, each in a goroutine of its own that is left
// behind if it blocks. The zero value is ready.
type commands struct {
	readers sync.WaitGroup // all goroutines, the late ones too

	mu   sync.Mutex                 // guards what follows
	late map[dtc.ProcessID]struct{} // whose reading has not come back in time

	ask func(pid, limit int) (string, error) // of a test; nil: the system
}

// read returns the command line of a process, at most maxCommand bytes; told is
// false if it cannot be said now.
func (c *commands) read(id dtc.ProcessID) (line string, told bool) {
	if c.hopeless(id) {
		return "", false
	}
	ask := c.ask
	if ask == nil {
		ask = proc.Command
	}
	reply := make(chan string, 1)
	c.readers.Go(func() {
		line, _ := ask(id.PID, maxCommand)
		c.mu.Lock()
		defer c.mu.Unlock()
		reply <- line
		delete(c.late, id)
	})
	patience := time.NewTimer(commandPatience)
	defer patience.Stop()
	select {
	case line = <-reply:
		return line, line != ""
	case <-patience.C:
		return c.leave(id, reply)
	}
}

// hopeless says whether a reading would be too much: one of that process is late
// already, or too many are.
func (c *commands) hopeless(id dtc.ProcessID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, late := c.late[id]
	return late || len(c.late) >= maxLateCommands
}

// leave notes that a reading is late, unless it has come back this moment.
func (c *commands) leave(id dtc.ProcessID, reply <-chan string) (line string, told bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case line = <-reply:
		return line, line != ""
	default:
	}
	if c.late == nil {
		c.late = map[dtc.ProcessID]struct{}{}
	}
	c.late[id] = struct{}{}
	return "", false
}
