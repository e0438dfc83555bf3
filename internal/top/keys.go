package top

import (
	"strings"
	"unicode/utf8"
)

// action is what a key asks of the program around the model.
type action uint8

const (
	nothingMore action = iota
	quit
	suspend
)

// maxFilter is how many bytes of a filter are taken.
const maxFilter = 256

// press takes a key: its name, and the text that it types, "" for none.
func (m *Model) press(key, text string) action {
	switch {
	case key == "ctrl+c":
		return quit
	case key == "ctrl+z":
		return suspend
	case m.typing:
		m.typeKey(key, text)
		return nothingMore
	case key == "q":
		return quit
	case m.help:
		m.pressHelp(key)
		return nothingMore
	}
	switch key {
	case "?":
		m.help, m.helpTop = true, 0
	case "/":
		m.typing = true
	case "space":
		m.paused = !m.paused
	case "esc":
		m.back()
	default:
		m.pressList(key)
	}
	return nothingMore
}

// pressHelp scrolls the help, and leaves it with any other key.
func (m *Model) pressHelp(key string) {
	switch key {
	case "down", "j", "pgdown":
		m.helpTop = min(m.helpTop+1, max(len(helpLines())-m.height+1, 0))
	case "up", "k", "pgup":
		m.helpTop = max(m.helpTop-1, 0)
	default:
		m.help = false
	}
}

// pressList takes a key that means something to the list on the screen.
func (m *Model) pressList(key string) {
	switch {
	case m.list().move(key, m.page()):
		m.choose(key)
		return
	case m.screen == hostScreen:
		m.pressHosts(key)
	case m.screen == processScreen:
		m.pressProcesses(key)
	}
	m.arrange()
}

// choose has the cursor follow what it was moved to.
func (m *Model) choose(key string) {
	switch m.screen {
	case hostScreen:
		m.hosts.choose(key)
	case processScreen:
		m.procs.choose(key)
	case fileScreen:
	}
}

func (m *Model) pressHosts(key string) {
	switch key {
	case "enter":
		m.openProcesses()
		return
	case "F":
		m.openFiles(key)
		return
	case "r":
		m.hosts.reverse = !m.hosts.reverse
	}
	if order, ok := hostKey(key); ok {
		m.hosts.order, m.hosts.reverse = order, false
	}
}

func (m *Model) pressProcesses(key string) {
	switch key {
	case "f", "F":
		m.openFiles(key)
		return
	case "T":
		m.procs.tree = !m.procs.tree
	case "r":
		m.procs.reverse = !m.procs.reverse
	}
	if order, ok := processKey(key); ok {
		m.procs.order, m.procs.reverse = order, false
	}
}

// typeKey takes a key while a filter is being typed.
func (m *Model) typeKey(key, text string) {
	filter := m.filter()
	switch key {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, *filter = false, ""
	case "ctrl+u":
		*filter = ""
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(*filter)
		*filter = (*filter)[:len(*filter)-n]
	case "up", "down", "pgup", "pgdown":
		if m.list().move(key, m.page()) {
			m.choose(key)
		}
		return
	default:
		m.paste(text)
		return
	}
	m.arrange()
}

// paste adds text to the filter that is being typed.
func (m *Model) paste(text string) {
	if !m.typing {
		return
	}
	filter := m.filter()
	text, _, _ = strings.Cut(text, "\n")
	if len(*filter)+len(text) <= maxFilter {
		*filter += strings.ToValidUTF8(text, "")
	}
	m.arrange()
}
