package logs

import (
	"bytes"

	"pgregory.net/rapid"
)

// send sends n bytes of a generation at a position, or what it begins with of
// zeros as a hole, up to to. It returns how many those were.
func (m *sourceModel) send(i, at, to, n int) int {
	content := m.gens[i].content[at:to]
	zeros := len(content) - len(bytes.TrimLeft(content, "\x00"))
	if zeros > 0 && rapid.Bool().Draw(m.t, "as a hole") {
		n = rapid.IntRange(1, zeros).Draw(m.t, "of it")
		m.a.hole(m.stream, uint64(i+1), at, n)
		return n
	}
	m.a.append(m.stream, uint64(i+1), at, string(content[:n]))
	return n
}
