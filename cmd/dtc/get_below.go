package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"dtc"
	"dtc/internal/render"
)

// blocks shows pictures as text, one below the other: each answer once, in the
// first block after it came.
type blocks struct {
	get  *getter
	live *render.Live
	out  separator
	told teller
}

func (g *getter) newBlocks() *blocks {
	return &blocks{get: g, live: render.NewLive(g.query.Status, len(g.hosts), g.render), out: separator{w: g.app.stdout}, told: teller{get: g}}
}

func (b *blocks) add(i int, part *dtc.Report) error { return b.live.Add(i, part) }
func (b *blocks) late(time.Duration) error          { return errNoAnswerYet }
func (b *blocks) guard(work func())                 { work() }

func (b *blocks) show(p picture) error {
	b.out.next()
	if err := b.live.Show(&b.out); err != nil {
		return err
	}
	b.told.tell(p.outcome)
	return b.live.Clear()
}

// lines writes answers as jsonl, when they come.
type lines struct {
	doc  *render.Document
	told teller
}

func (g *getter) newLines() *lines {
	return &lines{doc: render.NewDocument(g.app.stdout, g.query.Status, len(g.hosts), g.render), told: teller{get: g}}
}

func (l *lines) add(i int, part *dtc.Report) error {
	if err := l.doc.Add(i, part); err != nil || part.Partial {
		return err
	}
	return l.doc.Again(i)
}

func (l *lines) late(time.Duration) error { return errNoAnswerYet }
func (l *lines) guard(work func())        { work() }

func (l *lines) show(p picture) error {
	l.told.tell(p.outcome)
	return nil
}

// teller writes the summary when it is another than the last time.
type teller struct {
	get  *getter
	told string
}

func (t *teller) tell(o outcome) {
	if s := t.get.summary(o); s != t.told {
		t.told = s
		fmt.Fprint(t.get.app.stderr, s)
	}
}

// separator writes an empty line between what is written before next is called
// and what is written after that.
type separator struct {
	w     io.Writer
	begun bool // something was written
	due   bool // an empty line comes before what is written now
}

func (s *separator) next() { s.due = s.begun }

func (s *separator) Write(b []byte) (int, error) {
	if s.due {
		if _, err := io.WriteString(s.w, "\n"); err != nil {
			return 0, err
		}
	}
	s.begun, s.due = true, false
	return s.w.Write(b)
}

// flagsOf returns the flags that were given, but those that say nothing about
// what is asked for, in the order in which they were given.
func flagsOf(f *pflag.FlagSet) string {
	var b strings.Builder
	add := func(flag *pflag.Flag) {
		if slices.Contains([]string{"home", "config", "watch", "timeout", "output"}, flag.Name) {
			return
		}
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			b.WriteString(" --" + flag.Name)
			switch {
			case flag.Value.Type() != "bool":
				b.WriteString(" " + value)
			case value != "true":
				b.WriteString("=" + value)
			}
		}
	}
	sorted := f.SortFlags
	f.SortFlags = false
	f.Visit(add)
	f.SortFlags = sorted
	return b.String()
}
