package watch

import (
	"time"
	"unique"

	"dtc"
	"dtc/internal/proc"
)

// maxCounted is how many descriptors of a process are counted, where the kernel
// does not count them for us.
const maxCounted = 20_000

// vitals is what a process was last seen to use. There may be as many as
// watched processes, so that it is small: texts that many have in common are
// kept once.
type vitals struct {
	tried       time.Duration // since boot, when the sampler looked at it last
	at          time.Duration // since boot, when the figures are of; 0: there are none
	usage       proc.Usage
	descriptors int
	parent      shared // short name of the process usage.PPID
	command     shared
	user        shared // effective user, "" if not known
}

// shared is a text that others may have too; the zero value is "".
type shared struct{ handle unique.Handle[string] }

func newShared(s string) shared {
	if s == "" {
		return shared{}
	}
	return shared{unique.Make(s)}
}

func (t shared) String() string {
	if t == (shared{}) {
		return ""
	}
	return t.handle.Value()
}

// firstLook notes what a process uses that is new here, of which seen is the
// look that found it. It is called when the system has been asked to tell its
// end, so that this comes too late for no end; w.mu is not held.
func (w *Watcher) firstLook(p *process, seen proc.Seen) {
	v := vitals{descriptors: dtc.Absent}
	if seen.Usage != (proc.Usage{}) {
		v.at, v.usage = p.looked, seen.Usage
		v.parent = newShared(w.sampler.parents.name(seen.Usage.PPID))
	}
	w.mu.Lock()
	p.vitals = v
	ended := p.ended
	w.mu.Unlock()
	if !ended {
		w.sample(p, 0)
	}
	w.sampler.signal()
}

// sample looks at what a process uses now. Where its descriptors have to be
// counted one by one, that is done up to a number.
func (w *Watcher) sample(p *process, countUpTo int) {
	// First what is asked by the pid alone: if the process is still there after
	// that, it was of no other.
	descriptors := proc.CountDescriptors(p.id.PID, countUpTo)
	command, told := w.sampler.commands.read(p.id)
	user := w.finder.system.userOf(p.id.PID)
	w.oom.attach(p)
	seen, err := proc.Measure(p.id.PID)
	w.mu.Lock()
	p.vitals.tried = now()
	before := p.vitals
	w.mu.Unlock()
	if err != nil || seen.ID != p.id || seen.Usage.Ending {
		return
	}
	v := vitals{
		tried: before.tried, at: now(), usage: seen.Usage,
		descriptors: descriptors, parent: before.parent, command: before.command, user: newShared(user),
	}
	if told && command != before.command.String() {
		v.command = newShared(command) // an exec changes it
	}
	if before.at == 0 || seen.Usage.PPID != before.usage.PPID {
		v.parent = newShared(w.sampler.parents.name(seen.Usage.PPID))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.ended {
		return
	}
	p.vitals = v
	if seen.Name != "" {
		p.name = seen.Name // an exec changes it, and so may the process itself
	}
}

// last notes what a process had used when it ended, if the system told. It is
// called before [Watcher.ended].
func (p *process) last(used proc.Usage) {
	if used != (proc.Usage{}) {
		p.final = &used
	}
}

// postMortem returns what is known of a process that has ended at a time since
// boot; nil if that is nothing. Watcher.mu is held.
func postMortem(p *process, at time.Duration) *dtc.PostMortem {
	v := &p.vitals
	if v.at == 0 && v.command == (shared{}) && p.final == nil {
		return nil
	}
	post := dtc.NoPostMortem()
	post.Command = v.command.String()
	if v.at != 0 {
		post.CPU, post.RSSBytes = v.usage.CPU, v.usage.RSSBytes
		post.Threads, post.Descriptors = v.usage.Threads, v.descriptors
		post.PPID, post.Parent = v.usage.PPID, v.parent.String()
		post.Sampled = max(0, at-v.at).Round(time.Millisecond)
	}
	if p.final != nil {
		// Of what is left of a process only the time that it took is still true.
		post.CPU = p.final.CPU
	}
	return &post
}
