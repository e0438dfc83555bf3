package top

import (
	"fmt"
	"testing"
	"time"
)

// A frame with 500 hosts, all of which have changed since the last.
func BenchmarkHosts(b *testing.B) {
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 50}} {
		b.Run(fmt.Sprintf("%dx%d", size.width, size.height), func(b *testing.B) {
			m := newModel(manyHosts(500), 2*time.Second, look{color: true, unicode: true})
			m.resize(size.width, size.height)
			press(m, "c")
			a := Answers{Now: noon, Hosts: make([]HostAnswer, 500)}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				for i := range a.Hosts {
					a.Hosts[i] = HostAnswer{Index: i, At: noon, Sample: testSample(i + n)}
				}
				m.take(&a)
				_ = m.View()
			}
		})
	}
}

// A frame of a host with as many processes as are shown, each time with another
// answer.
func BenchmarkProcesses(b *testing.B) {
	for _, tree := range []string{"list", "tree"} {
		b.Run(tree, func(b *testing.B) {
			m := newModel(manyHosts(1), 2*time.Second, look{color: true, unicode: true})
			m.resize(200, 50)
			press(m, "enter")
			if tree == "tree" {
				press(m, "T")
			}
			all := testProcesses(maxItems)
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				a := answerOf(noon.Add(time.Duration(n)*time.Second), all...)
				m.take(&Answers{Now: a.At, Processes: a})
				_ = m.View()
			}
		})
	}
}

// What a key costs while those are shown.
func BenchmarkKey(b *testing.B) {
	m := newModel(manyHosts(1), 2*time.Second, look{color: true, unicode: true})
	m.resize(200, 50)
	press(m, "enter")
	m.take(&Answers{Now: noon, Processes: answerOf(noon, testProcesses(maxItems)...)})
	b.ReportAllocs()
	for b.Loop() {
		press(m, "down")
		_ = m.View()
	}
}
