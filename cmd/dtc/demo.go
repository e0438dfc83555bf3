package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dtc/internal/agent"
	"dtc/internal/ca"
	"dtc/internal/config"
	"dtc/internal/monitor"
	"dtc/internal/supervise"

	"github.com/spf13/cobra"
)

// demoPatience bounds every step of the demo that waits for something.
const demoPatience = 30 * time.Second

func newDemoCommand(a *app) *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show DTC on this very machine: a monitor and an agent in a throw-away home",
		Long: `Run a monitor and an agent of this very machine in a throw-away home: ask it,
watch a process end, follow a file through a rotation. It goes on until Ctrl-C,
so that other commands can be tried on it, and leaves nothing behind.

Exit status: 0 all was shown, 1 something did not work.`,
		Example: "  dtc demo\n  dtc demo --once",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			after := (*demo).stay
			if once {
				after = func(*demo, context.Context) error { return nil }
			}
			return a.demo(c.Context(), after)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end after the show, without waiting for Ctrl-C")
	return c
}

// newDemoProcessCommand is the process that the demo watches and kills: it does
// nothing until its standard input ends.
func newDemoProcessCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "demo-process",
		Short:  "The process that the demo watches",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.Copy(io.Discard, a.stdin)
			return err
		},
	}
}

// demo is one run of the demo.
type demo struct {
	app   *app // with the throw-away home
	out   io.Writer
	dir   string // the throw-away folder: the monitor's home and, in it, agent
	log   string // the followed file
	truth bytes.Buffer
	agent netip.AddrPort
	mon   *monitor.Monitor
}

// demoStep is what the demo does after its show.
type demoStep func(*demo, context.Context) error

func (a *app) demo(ctx context.Context, after demoStep) (err error) {
	// A closed terminal must not leave the folder behind either.
	ctx, stop := signal.NotifyContext(ctx, hangupSignals()...)
	defer stop()
	dir, err := os.MkdirTemp("", "dtc-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); err == nil && rmErr != nil {
			err = fmt.Errorf("demo: remove the throw-away home: %w", rmErr)
		}
	}()
	inner := *a
	inner.home, inner.config = dir, ""
	d := &demo{app: &inner, out: a.stdout, dir: dir, log: filepath.Join(dir, "demo-app.log")}
	var ag *agent.Agent
	if ag, err = d.setUp(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	err = supervise.Run(ctx, ag.Run, d.serve, func(ctx context.Context) error {
		if err := d.show(ctx); err != nil {
			return err
		}
		return after(d, ctx)
	})
	if ctx.Err() != nil {
		fmt.Fprintln(a.stdout, "\nThe demo ends and removes "+dir+".")
		return nil
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// setUp makes a fleet of one host.
func (d *demo) setUp() (*agent.Agent, error) {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	at := netip.AddrPortFrom(loopback, ports[0])
	d.agent = netip.AddrPortFrom(loopback, ports[1])
	fmt.Fprintf(d.out, "A monitor on %s and an agent on %s, both of this machine, in %s.\n\n", at, d.agent, d.dir)

	tls, agentHome := filepath.Join(d.dir, "conf", "tls"), filepath.Join(d.dir, "agent")
	if err := os.MkdirAll(filepath.Join(d.dir, "state"), 0o750); err != nil {
		return nil, err
	}
	if err := ca.Init(tls, []netip.Addr{loopback}); err != nil {
		return nil, err
	}
	authority, err := ca.Open(tls)
	if err != nil {
		return nil, err
	}
	key, cert, caCert, _, err := authority.Issue("this-host", []netip.Addr{loopback})
	if err != nil {
		return nil, err
	}
	if err := ca.StoreAgent(filepath.Join(agentHome, "conf", "tls"), key, cert, caCert); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(agentHome, "state"), 0o750); err != nil {
		return nil, err
	}
	path := d.app.configPath()
	if err := writeNew(path, config.NewMonitorFile(at)); err != nil {
		return nil, err
	}
	if err := config.AddHost(path, config.Host{Name: "this-host", Address: d.agent}); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.NewTextHandler(d.app.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	cfg, err := d.app.loadConfig()
	if err != nil {
		return nil, err
	}
	d.mon, err = monitor.New(monitor.Options{
		Home: d.dir, ConfigPath: path, Config: cfg, Load: d.app.loadConfig, Version: version, Logger: quiet,
	})
	if err != nil {
		return nil, err
	}
	acfg := config.Agent{
		LocalHost: d.agent, MonitorHost: at, ScanFileTime: 3 * time.Second,
		Files: []config.File{{Path: d.log, Alias: "app.log"}},
	}
	return agent.New(agent.Options{
		Home: agentHome, Config: acfg, Load: func() (config.Agent, error) { return acfg, nil },
		Version: version, Logger: quiet,
	})
}

// serve runs the monitor once the agent listens, so that the first thing it
// tells is not that there is none.
func (d *demo) serve(ctx context.Context) error {
	err := waitFor(ctx, "the agent to listen", func() bool {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", d.agent.String())
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was said
		return true
	})
	if err != nil {
		done, cancel := context.WithCancel(ctx)
		cancel()
		return errors.Join(err, d.mon.Run(done)) // closes what it has open
	}
	return d.mon.Run(ctx)
}

// show goes through what DTC does.
func (d *demo) show(ctx context.Context) error {
	if err := waitFor(ctx, "the agent to answer", func() bool {
		quiet := *d.app
		quiet.stdout, quiet.stderr = io.Discard, io.Discard
		return quiet.run(ctx, []string{"get", "platform"}) == exitOK
	}); err != nil {
		return err
	}
	d.title("1. Ask: the state of all hosts, as the tools print it")
	for _, status := range []string{"platform", "memory", "cpu"} {
		if err := d.command(ctx, "get", status); err != nil {
			return err
		}
	}
	d.title("2. Watch processes: an end is told at once, with its cause")
	if err := d.showWatch(ctx); err != nil {
		return err
	}
	d.title("3. Follow log files: the exact bytes, each once")
	if err := d.showFollow(ctx); err != nil {
		return err
	}
	d.title("What to type next, in another terminal")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, `  export DTC_HOME=%s PATH="%s:$PATH"
  dtc get process        # what ps aux prints, of every host
  dtc get openfiles      # what lsof prints
  dtc logs -f            # the followed file, live
  dtc events             # all that happened
  dtc --help

`, d.dir, filepath.Dir(self))
	return nil
}

func (d *demo) title(text string) {
	fmt.Fprintf(d.out, "%s\n%s\n\n", text, strings.Repeat("-", len(text)))
}

// command shows a command and what it prints.
func (d *demo) command(ctx context.Context, args ...string) error {
	fmt.Fprintln(d.out, "$ dtc "+strings.Join(args, " "))
	app := *d.app // the service reads the original meanwhile
	if code := app.run(ctx, args); code != exitOK {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("dtc %s: exit status %d", strings.Join(args, " "), code)
	}
	fmt.Fprintln(d.out)
	return nil
}

// showWatch watches a process and kills it.
func (d *demo) showWatch(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "demo-process")
	stdin, err := child.StdinPipe() // ends with this program, whatever happens to it
	if err != nil {
		return err
	}
	defer stdin.Close()
	if err := child.Start(); err != nil {
		return err
	}
	pid := child.Process.Pid
	var reap sync.WaitGroup
	reap.Go(func() { _ = child.Wait() }) // that it was killed is what the log tells
	defer reap.Wait()
	defer child.Process.Kill() //nolint:errcheck // it is dead already, unless a step failed

	if err := d.watchPID(ctx, pid); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "monitor.xml says <monitor_pid>%d</monitor_pid>: a process that this demo started. Now: kill -9 %d\n\n", pid, pid)
	if err := d.waitLog(ctx, fmt.Sprintf("pid=%d name=", pid), "state=alive"); err != nil {
		return err
	}
	if err := child.Process.Kill(); err != nil {
		return err
	}
	if err := d.waitLog(ctx, fmt.Sprintf("pid=%d name=", pid), "state=dead"); err != nil {
		return err
	}
	path, text, err := d.processLog()
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(d.dir, path)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "$ cat %s\n%s\n", rel, text)
	return nil
}

// watchPID puts the pid into monitor.xml and has the service apply it.
func (d *demo) watchPID(ctx context.Context, pid int) error {
	path := d.app.configPath()
	host, err := config.RemoveHost(path, "this-host")
	if err != nil {
		return err
	}
	host.PIDs = []int{pid}
	if err := config.AddHost(path, host); err != nil {
		return err
	}
	return d.mon.Reload(ctx)
}

func (d *demo) processLog() (path, text string, err error) {
	paths, err := filepath.Glob(filepath.Join(d.dir, "logs", "127.0.0.1", "*_process_*.log"))
	if err != nil || len(paths) == 0 {
		return "", "", errors.New("there is no process log yet")
	}
	path = paths[len(paths)-1]
	data, err := os.ReadFile(path)
	return path, string(data), err
}

// waitLog waits for a line of the process log that has all words.
func (d *demo) waitLog(ctx context.Context, words ...string) error {
	return waitFor(ctx, strings.Join(words, " ")+" in the process log", func() bool {
		_, text, err := d.processLog()
		if err != nil {
			return false
		}
		for line := range strings.Lines(text) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// showFollow writes to a file, rotates it, and compares the copy.
func (d *demo) showFollow(ctx context.Context) error {
	for i := range 3 {
		if err := d.write(fmt.Sprintf("line %d, before the rotation\n", i+1)); err != nil {
			return err
		}
	}
	if err := os.Rename(d.log, d.log+".1"); err != nil {
		return err
	}
	if err := d.write("line 4, in the new file\n"); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "Three lines, then mv %[1]s %[1]s.1, then one more in a new file.\n\n", filepath.Base(d.log))
	copied := filepath.Join(d.dir, "logs", "127.0.0.1", "app.log")
	if err := waitFor(ctx, "the copy", func() bool {
		got, err := os.ReadFile(copied)
		return err == nil && bytes.Equal(got, d.truth.Bytes())
	}); err != nil {
		return err
	}
	if err := d.command(ctx, "logs", "app.log"); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "logs/127.0.0.1/app.log has the same %d bytes as the two files: compared just now.\n\n", d.truth.Len())
	return nil
}

// write appends to the followed file, and to what the copy is compared with.
func (d *demo) write(line string) error {
	f, err := os.OpenFile(d.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	d.truth.WriteString(line)
	return err
}

// stay keeps the fleet up for whoever tries it, with a line a second to follow.
func (d *demo) stay(ctx context.Context) error {
	fmt.Fprintln(d.out, "The demo stays up, and writes a line a second to the followed file. Ctrl-C ends it.")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := d.write("it is " + now.Format(time.TimeOnly) + "\n"); err != nil {
				return err
			}
			d.truth.Reset() // no longer compared; not to grow for ever
		}
	}
}

// freePorts finds ports of the loopback that nobody listens on.
func freePorts(n int) ([]uint16, error) {
	var ports []uint16
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds a port of the loopback and returns at once
		if err != nil {
			return nil, err
		}
		defer ln.Close() // only held so that the ports differ
		at, err := netip.ParseAddrPort(ln.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, at.Port())
	}
	return ports, nil
}

// waitFor looks again and again until done.
func waitFor(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fmt.Errorf("waited %s for %s in vain", demoPatience, what))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
