package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
)

// frames is how often a second the terminal is brought up to date at most.
const frames = 30

// Run shows the fleet until q or Ctrl-C is pressed or ctx is done, and leaves
// the terminal as it was. An error is that of the terminal.
func Run(ctx context.Context, o Options) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	feed := newFeed(&o)
	out := &output{File: o.Terminal.Out, fail: fail}
	screen := &program{
		model:   newModel(o.Hosts, o.Every, look{color: o.Terminal.Color, unicode: o.Terminal.Unicode}),
		feed:    feed,
		suspend: o.Terminal.Suspend,
	}
	colors := colorprofile.ASCII
	if o.Terminal.Color {
		colors = colorprofile.ANSI
	}
	p := tea.NewProgram(
		screen, tea.WithInput(o.Terminal.In), tea.WithOutput(out), tea.WithEnvironment(o.Terminal.Environ),
		tea.WithColorProfile(colors), tea.WithFPS(frames), tea.WithoutSignalHandler(), tea.WithoutCatchPanics(),
	)
	// A panic goes on as one, but on a terminal that is as it was.
	guard := func(work func()) {
		done := false
		defer func() {
			if !done {
				p.Kill()
			}
		}()
		work()
		done = true
	}
	var err error
	guard(func() { err = runWith(ctx, p, feed, o.Terminal.OnSuspend, guard) })
	if failed, ok := errors.AsType[*writeError](context.Cause(ctx)); ok {
		return failed
	}
	return err
}

// runWith runs the program, the feed beside it, until the program ends.
func runWith(ctx context.Context, p *tea.Program, f *feed, onSuspend func(func(func())) func(), guard func(func())) error {
	feeding, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.run(feeding, func(a Answers) { p.Send(a) }, guard) })
	wg.Go(func() {
		<-feeding.Done()
		p.Quit() // and not tea.WithContext: that leaves who reads the keys behind
	})
	if onSuspend != nil {
		defer onSuspend(func(sleep func()) { stepAside(feeding, p, sleep) })()
	}
	defer stop() // first of all
	_, err := p.Run()
	if err != nil {
		return fmt.Errorf("show the fleet: %w", err)
	}
	return nil
}

// stepAside has the program give the terminal back while sleep runs.
func stepAside(ctx context.Context, p *tea.Program, sleep func()) {
	slept := make(chan struct{})
	p.Send(sleeper{func() {
		defer close(slept)
		sleep()
	}})
	select {
	case <-slept:
	case <-ctx.Done():
	}
}

// program is the model as bubbletea wants it.
type program struct {
	model   *Model
	feed    *feed
	suspend func()
}

// Init starts nothing: the feed runs beside the program.
func (p *program) Init() tea.Cmd { return nil }

// Update gives a message to the model, and what the screen needs to the feed.
func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var then tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if msg.Width <= 0 || msg.Height <= 0 { // not known: as if it were the size that all programs can expect
			return p, func() tea.Msg { return tea.WindowSizeMsg{Width: 80, Height: 24} }
		}
		p.model.resize(msg.Width, msg.Height)
	case tea.KeyPressMsg:
		then = p.press(msg)
	case tea.PasteMsg:
		p.model.paste(msg.Content)
	case Answers:
		p.model.take(&msg)
	case sleeper:
		then = tea.Exec(msg, nil)
	}
	p.feed.set(p.model.wanted())
	return p, then
}

// press gives a key to the model.
func (p *program) press(key tea.KeyPressMsg) tea.Cmd {
	name := key.String()
	if key.Code == tea.KeySpace {
		name = "space"
	}
	switch p.model.press(name, key.Text) {
	case quit:
		return tea.Quit
	case suspend:
		if p.suspend != nil {
			p.suspend()
		}
	case nothingMore:
	}
	return nil
}

// View returns the screen.
func (p *program) View() tea.View {
	v := tea.NewView(p.model.View())
	v.AltScreen = true
	if column, row, visible := p.model.Cursor(); visible {
		v.Cursor = tea.NewCursor(column, row)
	}
	return v
}

// sleeper asks the program to run sleep as a command to which the terminal is
// left.
type sleeper struct{ sleep func() }

// Run sleeps.
func (s sleeper) Run() error {
	s.sleep()
	return nil
}

// SetStdin, SetStdout and SetStderr have no meaning to who sleeps.
func (sleeper) SetStdin(io.Reader)  {}
func (sleeper) SetStdout(io.Writer) {}
func (sleeper) SetStderr(io.Writer) {}

// output is the terminal, which ends the program when it cannot be written to.
type output struct {
	File

	fail context.CancelCauseFunc
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.File.Write(b)
	if err != nil {
		o.fail(&writeError{err})
	}
	return n, err
}

// writeError is why the terminal cannot be written to.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write to the terminal: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }
