package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"dtc/internal/render"
)

// watch asks again and again until ctx is done, or until a key ends it: on a
// terminal in place, else one answer below the other. How the last whole round
// ended is the status.
func (g *getter) watch(ctx context.Context, every time.Duration) error {
	show := g.showBelow()
	if g.render.Color && g.render.Format == render.FormatText {
		watching, stop := context.WithCancel(ctx)
		defer stop()
		ctx = watching
		s := g.newScreen(every)
		defer s.close()
		defer s.listen(stop)() // before the close
		show = s.show
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last outcome
	for {
		out, err := show(ctx)
		switch {
		case ctx.Err() != nil:
			return last.status()
		case err != nil:
			return err
		}
		last = out
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last.status()
		}
	}
}

// showBelow returns what asks once and writes the answers below the last. The
// summary is written when it is another than the last time.
func (g *getter) showBelow() func(context.Context) (outcome, error) {
	first, told := true, ""
	return func(ctx context.Context) (outcome, error) {
		w := g.app.stdout
		if !first && g.render.Format == render.FormatText {
			w = &prefixed{w: w, prefix: "\n"}
		}
		first = false
		out, err := g.round(ctx, w)
		if err != nil || ctx.Err() != nil {
			return out, err
		}
		if s := g.summary(out); s != told {
			told = s
			fmt.Fprint(g.app.stderr, s)
		}
		return out, nil
	}
}

// prefixed writes a prefix before the first bytes.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix != "" {
		if _, err := io.WriteString(p.w, p.prefix); err != nil {
			return 0, err
		}
		p.prefix = ""
	}
	return p.w.Write(b)
}
