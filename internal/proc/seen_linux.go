package proc

import "dtc"

// Seen is what the line tells of a look at the process: see [Seen]. How a zombie
// ended and what it uses is not in it.
func (st *Stat) Seen() Seen {
	return Seen{
		ID:     dtc.ProcessID{PID: st.PID, Start: st.StartTicks},
		Name:   string(st.Comm),
		Zombie: st.Ended(),
		Lived:  max(0, SinceBoot()-TicksToDuration(st.StartTicks)),
	}
}

// Forked says whether the process runs the program that its parent ran when it
// made it, and has executed none of its own (PF_FORKNOEXEC).
func (st *Stat) Forked() bool { return st.Flags&0x00000040 != 0 }

// Command appends the command line of the process entered as ps(1) shows it: at
// most limit bytes of its arguments with a space between them, a question mark if
// nothing is in them, or the name in brackets if there are none. The reading can
// block on the memory of that process.
func (s *Scanner) Command(b []byte, limit int) ([]byte, error) {
	data, err := s.ReadHead("cmdline", limit)
	if err != nil {
		return b, goneAsNotExist(err)
	}
	if len(data) == 0 {
		return s.bracketed(b)
	}
	start := len(b)
	if b = AppendArguments(b, data); len(b) == start {
		b = append(b, '?')
	}
	return b, nil
}

// bracketed appends the short name of the process entered as ps(1) shows it of
// one without a command line.
func (s *Scanner) bracketed(b []byte) ([]byte, error) {
	data, err := s.Read("stat")
	if err != nil {
		return b, goneAsNotExist(err)
	}
	var st Stat
	if err := st.Parse(data); err != nil {
		return b, err
	}
	b = append(AppendPrintable(append(b, '['), st.Comm), ']')
	if st.State == 'Z' {
		b = append(b, " <defunct>"...)
	}
	return b, nil
}
