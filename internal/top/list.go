package top

// list is the place of a cursor in rows of which a part is visible.
type list struct {
	n    int // rows
	pos  int // row of the cursor
	top  int // first visible row
	side int // cells that are scrolled out to the left
}

// move moves the cursor; page is how many rows are visible. It reports whether
// the key was one of its own.
func (l *list) move(key string, page int) bool {
	switch key {
	case "up", "k":
		l.pos--
	case "down", "j":
		l.pos++
	case "pgup", "ctrl+b":
		l.pos -= page
	case "pgdown", "ctrl+f":
		l.pos += page
	case "home", "g":
		l.pos = 0
	case "end", "G":
		l.pos = l.n - 1
	default:
		return l.scroll(key)
	}
	l.settle(page)
	return true
}

// sideStep is how many cells an arrow key scrolls to a side.
const sideStep = 8

// maxSide bounds how far a line can be scrolled.
const maxSide = 8192

func (l *list) scroll(key string) bool {
	switch key {
	case "left", "h":
		l.side = max(l.side-sideStep, 0)
	case "right":
		l.side = min(l.side+sideStep, maxSide)
	default:
		return false
	}
	return true
}

// settle brings the cursor into the list, and the visible part to the cursor.
func (l *list) settle(page int) {
	page = max(page, 1)
	l.pos = max(min(l.pos, l.n-1), 0)
	l.top = max(min(l.top, l.pos), l.pos-page+1, 0)
	l.top = max(min(l.top, l.n-page), 0)
}

// visible returns the first visible row and the one behind the last.
func (l *list) visible(page int) (first, end int) {
	return min(l.top, l.n), min(l.top+max(page, 0), l.n)
}
