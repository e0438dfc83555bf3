package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc/internal/render"
)

// watchCopies lists copies again and again until ctx is done, or until a key
// ends it: on a terminal in place, else one list below the other.
func (a *app) watchCopies(ctx context.Context, opt listOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	show := a.showBlock()
	if inPlace, restore := a.cursorControl(); inPlace {
		defer restore()
		s := a.newTableScreen(opt.title())
		defer s.leave()
		defer s.listen(stop)()
		show = func(body, total string) error { return s.draw(frame{body: body, summary: total, at: time.Now()}) }
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var d drains
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		rows, err := a.listCopies(ctx, opt)
		if ctx.Err() != nil {
			return nil
		}
		body, total := errNoCopies.Error()+"\n", ""
		if !errors.Is(err, errNoCopies) {
			if err != nil {
				return err
			}
			d.look(rows, time.Now())
			body, total = opt.watched(rows, &d)
		}
		if err := show(body, total); err != nil {
			return err
		}
		timer.Reset(time.Until(began.Add(opt.every)))
	}
}

// title says what is listed, as one would ask for it.
func (opt *listOptions) title() string {
	words := []string{fmt.Sprintf("Every %s: dtc logs ls", opt.every)}
	for _, host := range opt.hosts {
		words = append(words, "--host", host)
	}
	return render.Escape(strings.Join(append(words, opt.aliases...), " "))
}

// showBlock shows one list below the other, with an empty line between.
func (a *app) showBlock() func(body, total string) error {
	between := ""
	return func(body, total string) error {
		_, err := fmt.Fprint(a.stdout, between+body+total)
		between = "\n"
		if readerGone(a.stdout) {
			return &statusError{exitPipe, nil}
		}
		return err
	}
}

// newTableScreen returns a screen for text that is no answer of hosts.
func (a *app) newTableScreen(title string) *screen {
	s := &screen{get: &getter{app: a}, title: title, keys: openKeyboard(a.stdin)}
	s.write(openScreen)
	return s
}

// watched returns the list with how far copies have come that catch up: these
// first, the furthest behind before the others; and the sum of all.
func (opt *listOptions) watched(rows []listRow, d *drains) (body, total string) {
	rows = slices.Clone(rows)
	behind := func(r *listRow) int64 {
		if one := d.of(r); one != nil {
			return one.left
		}
		return 0
	}
	slices.SortStableFunc(rows, func(x, y listRow) int { return cmp.Compare(behind(&y), behind(&x)) })
	table := [][]string{{"HOST", "ALIAS", "SIZE", "LAG", "STATE", "PROGRESS"}}
	var size int64
	lag, known := int64(0), false
	for i := range rows {
		r := &rows[i]
		table = append(table, []string{
			render.Escape(r.host), render.Escape(r.Alias), opt.size(r.Size), opt.lag(r.Lag), render.Escape(r.state()), d.of(r).text(),
		})
		size += r.Size
		if r.Lag != nil {
			lag, known = lag+*r.Lag, true
		}
	}
	if len(rows) < 2 {
		return tableText(table), ""
	}
	all := "-"
	if known {
		all = opt.size(lag)
	}
	table = append(table, []string{"total", strconv.Itoa(len(rows)), opt.size(size), all, "", d.total(rows).text()})
	body = tableText(table)
	end := strings.LastIndexByte(strings.TrimSuffix(body, "\n"), '\n') + 1
	return body[:end], body[end:]
}
