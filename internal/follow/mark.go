package follow

import (
	"bytes"
	"crypto/sha256"
	"hash/maphash"

	"dtc"
)

// Mark proves a position: the Length bytes before Offset had the hash Sum. The
// hash is this process's own; marks of two Hosts cannot be compared.
type Mark struct {
	Offset int64
	Length int
	Sum    uint64
}

// Reader reads generations. It holds the one buffer for all of them; it serves
// one goroutine at a time.
type Reader struct {
	// Holes says that Read stops with ErrHole where a hole begins.
	Holes bool

	seed  maphash.Seed
	buf   []byte // a mark's bytes and a chunk; nil: it reads no chunks
	check []byte // the mark's bytes again
}

// NewReader returns a Reader for the generations of h's chains, which reads
// chunks of at most [dtc.MaxChunk] bytes.
func (h *Host) NewReader() *Reader {
	return &Reader{
		seed:  h.seed,
		buf:   make([]byte, dtc.MarkerSize+dtc.MaxChunk),
		check: make([]byte, max(dtc.MarkerSize, dtc.HeadSize)),
	}
}

// NewProver returns a Reader that has no buffer for chunks: it can do all but
// Read.
func (h *Host) NewProver() *Reader {
	return &Reader{seed: h.seed, check: make([]byte, max(dtc.MarkerSize, dtc.HeadSize))}
}

func (r *Reader) sum(b []byte) uint64 { return maphash.Bytes(r.seed, b) }

func (r *Reader) markOf(end int64, b []byte) Mark {
	return Mark{Offset: end, Length: len(b), Sum: r.sum(b)}
}

// read returns the n bytes of f from off on, fewer if there are fewer.
func (r *Reader) read(f *File, off int64, n int) ([]byte, error) {
	m, err := f.readCached(r.check[:n], off, n)
	return r.check[:m], err
}

// holds reports whether the bytes before m's offset are still the same.
func (r *Reader) holds(f *File, m Mark) (bool, error) {
	if m.Length == 0 {
		return true, nil
	}
	b, err := r.read(f, m.Offset-int64(m.Length), m.Length)
	if err != nil {
		return false, err
	}
	return len(b) == m.Length && r.sum(b) == m.Sum, nil
}

// same reports whether the bytes of f from off on are still want.
func (r *Reader) same(f *File, off int64, want []byte) (bool, error) {
	b, err := r.read(f, off, len(want))
	return err == nil && bytes.Equal(b, want), err
}

// proves reads the n bytes before end and reports whether their hash is want,
// with the mark for them.
func (r *Reader) proves(f *File, end int64, n int, want dtc.Hash) (Mark, bool, error) {
	n = min(max(n, 0), len(r.check))
	b, err := r.read(f, end-int64(n), n)
	if err != nil || len(b) < n {
		return Mark{}, false, err
	}
	full := sha256.Sum256(b)
	return r.markOf(end, b), n == 0 || dtc.Hash(full[:16]) == want, nil
}
