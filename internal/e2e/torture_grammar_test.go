//go:build linux

package e2e

import (
	"bytes"
	"math/rand/v2"
	"time"
)

// production is one thing that may happen, with its weight.
type production[T any] struct {
	name   string
	weight int
	do     func(T)
}

// grammar is what may happen to one thing.
type grammar[T any] []production[T]

// pick takes a production by its weight.
func (g grammar[T]) pick(rnd *rand.Rand) production[T] {
	all := 0
	for _, p := range g {
		all += p.weight
	}
	n := rnd.IntN(all)
	for _, p := range g {
		if n -= p.weight; n < 0 {
			return p
		}
	}
	panic("no production")
}

// swarm leaves some productions out, and makes others likelier: rounds that do
// everything a little find less than rounds that do a few things a lot.
func (g grammar[T]) swarm(rnd *rand.Rand, always int) grammar[T] {
	out := append(grammar[T]{}, g[:always]...)
	for _, p := range g[always:] {
		switch rnd.IntN(6) {
		case 0, 1:
		case 2:
			p.weight *= 4
			out = append(out, p)
		default:
			out = append(out, p)
		}
	}
	return out
}

// focused leaves only those productions of which a name is given, with the first
// ones.
func (g grammar[T]) focused(names map[string]int, always int) grammar[T] {
	out := append(grammar[T]{}, g[:always]...)
	for _, p := range g[always:] {
		if weight := names[p.name]; weight > 0 {
			p.weight = weight
			out = append(out, p)
		}
	}
	return out
}

// plainWrites is how many of writings' productions are always there.
const plainWrites = 3

// writings is what happens to a followed file.
func writings() grammar[*actor] {
	return grammar[*actor]{
		{"line", 40, func(a *actor) { a.put(a.out, a.record(a.out, a.size())) }},
		{"lines", 10, (*actor).burst},
		{"partial line", 10, (*actor).halves},
		{"big block", 2, func(a *actor) { a.put(a.out, a.record(a.out, 1<<20+a.rnd.IntN(1<<20))) }},
		{"banner", 2, func(a *actor) { a.begin() }},
		{"hole", 2, (*actor).hole},
		{"late write", 8, (*actor).lateWrite},
		{"rotate", 6, func(a *actor) { a.rotate(a.drop) }},
		{"rotate with a late writer", 4, func(a *actor) { a.rotate(a.keepOpen) }},
		{"rotate many times", 2, (*actor).cascade},
		{"rotate and begin alike", 2, func(a *actor) { a.rotate(a.drop); a.begin() }},
		{"copytruncate", 4, func(a *actor) { a.copyTruncate(0) }},
		{"copytruncate, alike", 2, func(a *actor) { a.copyTruncate(0); a.begin() }},
		{"copytruncate, written between", 1, func(a *actor) { a.copyTruncate(1) }},
		{"truncate when sent", 2, func(a *actor) { a.caughtUp(3 * time.Second); a.cut(0) }},
		{"truncate what was seen", 0, func(a *actor) { time.Sleep(sight + time.Second); a.cut(0) }},
		{"truncate and begin alike", 1, func(a *actor) { a.cut(0); a.begin() }},
		{"truncate", 1, func(a *actor) { a.cut(0) }},
		{"truncate and grow", 2, (*actor).cutAndGrow},
		{"truncate and grow, many times", 1, (*actor).storm},
		{"truncate and grow, big", 0, (*actor).bigStorm},
		{"cut to a part", 2, (*actor).cutPart},
		{"cut to a part when sent", 2, func(a *actor) { a.caughtUp(3 * time.Second); a.cutPart() }},
		{"remove when sent", 2, func(a *actor) { a.caughtUp(3 * time.Second); a.remove() }},
		{"remove", 1, (*actor).remove},
		{"hard link", 1, (*actor).hardLink},
		{"compress", 2, (*actor).compress},
		{"logrotate", 1, (*actor).logrotate},
		{"turn the link", 3, (*actor).turnLink},
		{"prune", 3, (*actor).pruneSome},
		{"wait", 2, func(a *actor) { a.nap(400) }},
	}
}

// step does one thing.
func (a *actor) step(g grammar[*actor]) {
	p := g.pick(a.rnd)
	a.w.log.add("%s: %s", a.alias, p.name)
	p.do(a)
	a.nap(30)
}

// burst writes many lines as fast as it goes.
func (a *actor) burst() {
	for range 5 + a.rnd.IntN(60) {
		a.put(a.out, a.record(a.out, 20+a.rnd.IntN(300)))
	}
}

// halves writes a line in pieces.
func (a *actor) halves() {
	b := a.record(a.out, a.size())
	for len(b) > 0 {
		n := 1 + a.rnd.IntN(len(b))
		a.put(a.out, b[:n])
		b = b[n:]
		if a.rnd.IntN(2) == 0 {
			a.nap(20)
		}
	}
}

// begin writes what many files begin with, if nothing is there yet, and a record.
func (a *actor) begin() {
	b := a.record(a.out, 100)
	a.mu.Lock()
	fresh := len(a.out.in.content.data) == 0 && (a.out.append || a.out.off == 0)
	a.mu.Unlock()
	if fresh {
		b = append(banner(), b...)
	}
	a.put(a.out, b)
}

func (a *actor) cascade() {
	for range 2 + a.rnd.IntN(2*a.keep) {
		leave := a.drop
		if a.rnd.IntN(5) == 0 {
			leave = a.keepOpen
		}
		a.rotate(leave)
		for range a.rnd.IntN(3) {
			a.put(a.out, a.record(a.out, a.rnd.IntN(600)))
		}
		a.nap(30)
	}
}

// storm truncates and writes more than was there, as fast as it goes.
func (a *actor) storm() {
	for range 10 + a.rnd.IntN(100) {
		a.cut(0)
		for range 1 + a.rnd.IntN(3) {
			a.put(a.out, a.record(a.out, a.rnd.IntN(6000)))
		}
	}
}

// bigStorm truncates and writes so much that a read of it takes a while.
func (a *actor) bigStorm() {
	b := a.record(a.out, 300<<10)
	for range 100 {
		a.cut(0)
		a.put(a.out, append(a.record(a.out, 40), b...))
	}
}

// cutPart cuts the file to a part of it that no other file begins with: of what
// many have in common nobody can say whose it is.
func (a *actor) cutPart() {
	a.mu.Lock()
	least, n := 0, len(a.out.in.content.data)
	if bytes.HasPrefix(a.out.in.content.data, banner()) {
		least = bannerSize + 200
	}
	a.mu.Unlock()
	if n > least {
		a.cut(int64(least + a.rnd.IntN(n-least)))
	}
}

func (a *actor) pruneSome() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.sibs) > 1+a.rnd.IntN(a.keep) {
		a.prune()
	}
}

// caughtUp waits some time for the copy to have all that it must.
func (a *actor) caughtUp(most time.Duration) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if due, err := a.peek(); err == nil && due == 0 {
			return true
		}
	}
	return false
}
