//go:build linux

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is one round of the torture: an agent and a monitor with a link between
// them, files that are written, and the truth of what was.
type world struct {
	tb   testing.TB
	seed uint64
	bin  string // folder of the programs

	home, agentHome, src string
	serveAt, agentAt     string
	link                 *proxy
	agent, serve         program
	lives                lives
	log                  stepLog
	streams              []*actor
	lines                []string  // of monitor_files, one a stream
	targets              string    // the folder of what followed links lead to
	disk                 *fillable // with the copies, nil: they lie on the machine's own
	reader               *reader   // of one copy, nil: none
	beside, linked       bool      // there is a reader, the first path is a link

	events map[string]int // that were judged, by their lines
	count  tally
}

// tally counts what was done.
type tally struct {
	mu                         sync.Mutex
	agentKills, monitorKills   int
	rotations, truncations     int
	bytes, told, unseen        int64
	gaps, spared, checks, cuts int
	fills, pauses, restarts    int
	reloads, verified          int
	archives, steps            int
}

func (c *tally) add(f func(*tally)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// program is one of the two programs, which is killed and started again.
type program struct {
	name   string
	args   []string
	out    *os.File
	errors *os.File // of its own; nil: they go to out

	mu      sync.Mutex
	cmd     *exec.Cmd
	done    chan struct{}
	stopped bool
}

// newWorld makes a fleet of one host, whose link to the monitor is the test's.
func newWorld(tb testing.TB, seed uint64, bin string) *world {
	tb.Helper()
	dir := tb.TempDir()
	w := &world{events: map[string]int{}, tb: tb, seed: seed, bin: bin, home: filepath.Join(dir, "monitor"), agentHome: filepath.Join(dir, "agent"), src: filepath.Join(dir, "src")}
	w.targets = filepath.Join(dir, "targets")
	for _, d := range []string{w.home, w.agentHome, w.src, w.targets} {
		if err := os.Mkdir(d, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	w.lives.beat(tb)
	w.serveAt = fmt.Sprintf("127.0.0.1:%d", freePort(tb))
	w.link = newProxy(tb, w.serveAt)
	w.agentAt = fmt.Sprintf("127.0.0.1:%d", freePort(tb))
	w.dtc("init", "--listen", w.serveAt)
	w.dtc("issue", "here", "--ip", "127.0.0.1", "--out", w.agentHome, "--listen", w.agentAt, "--monitor", w.link.address())
	w.agent = program{name: filepath.Join(bin, "dtc-agent"), args: []string{"run", "--home", w.agentHome}, out: w.logFile(dir, "agent.log")}
	w.serve = program{name: filepath.Join(bin, "dtc"), args: []string{"serve", "--home", w.home}, out: w.logFile(dir, "serve.log")}
	tb.Cleanup(func() {
		w.agent.kill()
		w.serve.kill()
		if tb.Failed() {
			w.explain()
		}
	})
	return w
}

func (w *world) logFile(dir, name string) *os.File {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { f.Close() })
	return f
}

// explain logs all that may help to find out why a round failed.
func (w *world) explain() {
	w.tb.Helper()
	w.tb.Logf("the last steps:\n%s", w.log.String())
	if text, err := w.try("events", "-o", "json"); err == nil {
		w.tb.Logf("events:\n%s", tail(text, 60))
	}
	w.tb.Logf("the agent's log:\n%s", tail(readFile(w.agent.out.Name()), 80))
	w.tb.Logf("the monitor's log:\n%s", tail(readFile(w.serve.out.Name()), 80))
	w.tb.Logf("REPLAY: %s", w.replay())
	if keep := os.Getenv("TORTURE_KEEP"); keep != "" {
		namespace("").run(w.tb, "cp", "-a", filepath.Dir(w.home), filepath.Join(keep, fmt.Sprintf("torture-%d-%s", w.seed, time.Now().Format("150405"))))
	}
}

func (w *world) replay() string {
	return fmt.Sprintf("go test -count 1 ./internal/e2e -run '^%s$' -torture.seed=%d", strings.SplitN(w.tb.Name(), "/", 2)[0], w.seed)
}

// dtc runs a command of the monitor that has to succeed.
func (w *world) dtc(args ...string) string {
	w.tb.Helper()
	return namespace("").must(w.tb, filepath.Join(w.bin, "dtc"), append(args, "--home", w.home)...)
}

func (w *world) try(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(w.bin, "dtc"), append(args, "--home", w.home)...).Output()
	return string(out), err
}

// copyPath returns where the copy of a stream is.
func (w *world) copyPath(alias string) string {
	return filepath.Join(w.home, "logs", "127.0.0.1", alias)
}

// configure writes agent.xml.
func (w *world) configure(lines []string) {
	var list strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&list, "    <file_alias>%s</file_alias>\n", line)
	}
	text := fmt.Sprintf("<agent>\n  <local_host>%s</local_host>\n  <monitor_host>%s</monitor_host>\n  <scan_file_time>1</scan_file_time>\n  <monitor_files>\n%s  </monitor_files>\n</agent>\n",
		w.agentAt, w.link.address(), list.String())
	path := filepath.Join(w.agentHome, "conf", "agent.xml")
	writeFile(w.tb, path+".new", text) // an agent may be reading it
	must(os.Rename(path+".new", path))
}

func (w *world) startAgent() {
	if w.agent.start(w.tb) {
		w.eachLives((*lives).begin)
	}
}

func (w *world) startServe() { w.serve.start(w.tb) }

// killAgent ends the agent by SIGKILL.
func (w *world) killAgent() {
	w.agent.kill()
	w.eachLives((*lives).end)
}

// eachLives notes something of the agent, and of the streams that it does not
// follow all the time.
func (w *world) eachLives(note func(*lives)) {
	note(&w.lives)
	for _, a := range w.streams {
		if a.lives != &w.lives {
			note(a.lives)
		}
	}
}

// start starts the program, if it does not run.
func (p *program) start(tb testing.TB) bool {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		select {
		case <-p.done: // it ended by itself: the checkpoint says so
		default:
			return false
		}
	}
	cmd, done := exec.Command(p.name, p.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = p.out, cmp.Or(p.errors, p.out)
	if err := cmd.Start(); err != nil {
		tb.Errorf("start %s: %v", p.name, err)
		return false
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = cmd.Wait()
		close(done)
	})
	p.cmd, p.done, p.stopped = cmd, done, false
	return true
}

// kill ends the program by SIGKILL, if it runs.
func (p *program) kill() { p.end(syscall.SIGKILL) }

// signal sends a signal that does not end the program.
func (p *program) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		p.cmd.Process.Signal(sig)
	}
}

// end sends a signal that ends the program, and waits for that.
func (p *program) end(sig syscall.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(patience):
		return false
	}
	p.cmd = nil
	return true
}

func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// running reports whether the program runs as it was started.
func (p *program) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// logEvent is a line of dtc events -o json.
type logEvent struct {
	Time   time.Time
	Kind   string
	State  string
	Alias  string
	From   *int64
	To     *int64
	Reason string
	line   string
	at     int64 // of an event rewound: where the source goes on
}

func (e logEvent) String() string {
	to := "?"
	if e.To != nil {
		to = fmt.Sprint(*e.To)
	}
	from := "?"
	if e.From != nil {
		from = fmt.Sprint(*e.From)
	}
	return fmt.Sprintf("%s %s %s [%s, %s): %s", e.Time.Local().Format(clock), e.Alias, e.State, from, to, e.Reason)
}

// newEvents returns the events of streams that came since the last checkpoint.
func (w *world) newEvents() ([]logEvent, error) {
	text, err := w.try("events", "-o", "json", "--since", "24h")
	if err != nil {
		return nil, fmt.Errorf("dtc events: %w", err)
	}
	var all []logEvent
	had := maps.Clone(w.events)
	for line := range strings.Lines(text) {
		if had[line] > 0 {
			had[line]--
			continue
		}
		var e logEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("dtc events printed %q: %w", line, err)
		}
		if e.line = line; e.Kind == "log" {
			all = append(all, e)
		}
	}
	return all, nil
}

// accepted notes that events were judged.
func (w *world) accepted(events []logEvent) {
	for _, e := range events {
		w.events[e.line]++
		if e.State == "gap" {
			w.count.gaps++
		}
	}
}

// stepLog remembers the last steps.
type stepLog struct {
	mu    sync.Mutex
	lines []string
	total int
}

const keptSteps = 200

func (l *stepLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	l.lines = append(l.lines, time.Now().Format(clock)+" "+fmt.Sprintf(format, args...))
	if len(l.lines) > 2*keptSteps {
		l.lines = append([]string(nil), l.lines[keptSteps:]...)
	}
}

func (l *stepLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines[max(0, len(l.lines)-keptSteps):]
	return fmt.Sprintf("(%d of %d)\n%s", len(lines), l.total, strings.Join(lines, "\n"))
}

// dice returns the random numbers of one actor of a round.
func (w *world) dice(actor uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, actor)) }
