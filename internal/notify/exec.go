package notify

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program runs a program for each notice, with the JSON of [NoticeJSON] and a
// newline on its standard input.
//
// It is started without a shell, in the home, as a process group of its own
// (not on Windows), with PATH, LANG, DTC_HOME, DTC_NOTICE (the notice's id) and
// DTC_KIND as its whole environment. The notice is delivered when it exits with
// 0; with anything else it is tried again later. After a minute, or when the
// service ends, the whole group is killed. What it prints stands in the error, as
// far as there is room.
type program struct{ settings Settings }

var _ Sender = (*program)(nil)

const (
	programTime  = time.Minute // that a program has, where ctx gives less
	programPipes = time.Second // that its children may keep its output open after its end
	maxOutput    = 4 << 10     // bytes of its output that are kept
)

func newExec(s Settings) (Sender, error) { return &program{settings: s}, nil }

// Send delivers a notice.
func (p *program) Send(ctx context.Context, n *Notice) error {
	v := p.settings.read()
	file, err := v.get("program")
	if err != nil {
		return errors.New(v.oneLine(err.Error()))
	}
	args, err := v.get("args")
	if err != nil {
		return errors.New(v.oneLine(err.Error()))
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	output := &firstBytes{}
	cmd, err := v.command(ctx, file, strings.Fields(args))
	if err != nil {
		return errors.New(v.oneLine("run " + file + ": " + err.Error()))
	}
	cmd.Env = append(cmd.Env, "DTC_NOTICE="+n.ID, "DTC_KIND="+string(n.Kind))
	cmd.Stdin = bytes.NewReader(append(NoticeJSON(n), '\n'))
	cmd.Stdout, cmd.Stderr = output, output
	err = cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it exited with 0, a child of it goes on
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = errors.New("it was killed, for it took too long")
	case ctx.Err() != nil:
		err = errors.New("it was killed, for the service ends")
	}
	return errors.New(v.oneLine("run " + file + ": " + err.Error() + v.snippet(output.kept)))
}

// command returns a program that is ready to be started, the input and the
// output apart.
func (v *values) command(ctx context.Context, file string, args []string) (*exec.Cmd, error) {
	home, err := filepath.Abs(v.settings.Home)
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(home, file)
	}
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Dir = home
	cmd.Env = append(environment(), "DTC_HOME="+home)
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = programPipes
	return cmd, nil
}

// firstBytes keeps the first bytes that are written to it, and forgets the rest.
type firstBytes struct{ kept []byte }

func (w *firstBytes) Write(p []byte) (int, error) {
	w.kept = append(w.kept, p[:min(len(p), maxOutput-len(w.kept))]...)
	return len(p), nil
}
