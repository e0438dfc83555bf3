package logs

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math"

	"dtc"
)

// piece is a range of a generation that a data file holds.
type piece struct {
	source, physical, n int64
	file                int // its number, see model.files
}

// pieces returns where the data files hold a generation, ascending in the
// source and without overlap. What is missing was never there (a gap), was
// dropped by retention, or somebody removed it.
func (c *replica) pieces(number uint64) []piece { return c.piecesFrom(number, 0) }

// ownPieces is pieces without those that somebody else may have changed.
func (c *replica) ownPieces(number uint64) []piece { return c.piecesFrom(number, c.trusted) }

func (c *replica) piecesFrom(number uint64, base int64) []piece {
	var out []piece
	for i, x := range c.extents {
		if x.generation != number || x.base < base {
			continue
		}
		end := c.length
		if i+1 < len(c.extents) {
			end = c.extents[i+1].base
		}
		// A later extent says it anew from its source position on.
		for len(out) > 0 && out[len(out)-1].source >= x.source {
			out = out[:len(out)-1]
		}
		if n := len(out); n > 0 {
			out[n-1].n = min(out[n-1].n, x.source-out[n-1].source)
		}
		n := min(end-x.base, x.have)
		if n > 0 && c.keeps(x.file) {
			out = append(out, piece{x.source, x.physical, n, x.file})
		}
	}
	return out
}

// errMissing says that the copy does not hold a range whole.
var errMissing = errors.New("the copy does not hold these bytes any more")

// cutPieces returns the parts of pieces that [from, to) of their generation
// consists of.
func cutPieces(pieces []piece, from, to int64) ([]piece, error) {
	var parts []piece
	for _, p := range pieces {
		if from >= to || p.source > from {
			break
		}
		if skip := from - p.source; skip < p.n {
			n := min(p.n-skip, to-from)
			parts = append(parts, piece{from, p.physical + skip, n, p.file})
			from += n
		}
	}
	if from < to {
		return nil, errMissing
	}
	return parts, nil
}

// hashPieces returns the SHA-256 of parts one after the other.
func hashPieces(files map[int]io.ReaderAt, parts []piece) (sum [sha256.Size]byte, err error) {
	readers := make([]io.Reader, 0, len(parts))
	var size int64
	for _, p := range parts {
		readers = append(readers, io.NewSectionReader(files[p.file], p.physical, p.n))
		size += p.n
	}
	r := struct{ io.Reader }{io.MultiReader(readers...)} // its own WriteTo takes 32 KiB for the least of proofs
	h := sha256.New()
	n, err := io.CopyBuffer(h, r, make([]byte, min(size+1, 32<<10)))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return [sha256.Size]byte(h.Sum(sum[:0])), err
}

// proveRange returns the proof of [from, to), none where the copy does not
// hold it.
func (c *replica) proveRange(pieces []piece, from, to int64) proof {
	if c.data == nil || to <= from {
		return proof{}
	}
	parts, err := cutPieces(pieces, from, to)
	if err != nil {
		return proof{}
	}
	files, err := c.openSegments(parts)
	if err != nil {
		return proof{}
	}
	defer files.close()
	all := map[int]io.ReaderAt{c.files: c.data}
	for file, f := range files {
		all[file] = f
	}
	sum, err := hashPieces(all, parts)
	if err != nil {
		return proof{}
	}
	p := proof{len: int(to - from)}
	copy(p.hash[:], sum[:])
	return p
}

// prove brings the head and the marker of a generation up to its position, as
// far as the copy still has the bytes.
func (c *replica) prove(g *generation) {
	headed := g.head.len == int(min(g.position-g.start, dtc.HeadSize))
	marked := g.markAt == g.position && g.marker.len > 0
	if headed && marked {
		return
	}
	pieces := c.ownPieces(g.number)
	if !headed {
		if h := c.proveRange(pieces, g.start, min(g.position, g.start+dtc.HeadSize)); h.len > g.head.len {
			g.head = h
		}
	}
	if marked {
		return
	}
	g.markAt = g.position
	g.marker = c.proveRange(pieces, whole(pieces, g.position), g.position)
}

// moveTo sets the position of a generation. What was proven of bytes that are
// taken back no longer is.
func (g *generation) moveTo(position int64) {
	if position < g.position {
		g.marker = proof{}
		if int64(g.head.len) > position-g.start {
			g.head = proof{}
		}
	}
	g.position = position
}

// whole returns how far back from a position the copy holds everything, at
// most [dtc.MarkerSize].
func whole(pieces []piece, position int64) int64 {
	from := position
	for i := len(pieces) - 1; i >= 0 && position-from < dtc.MarkerSize; i-- {
		p := pieces[i]
		if p.source >= from {
			continue
		}
		if p.source+p.n < from {
			break
		}
		from = p.source
	}
	return max(from, position-dtc.MarkerSize)
}

// proveLast proves the receiving generation while its bytes are still there.
func (c *replica) proveLast() {
	g := c.receiving()
	if g == nil {
		return
	}
	if st, err := statOf(c.data); err == nil && st.size == c.size {
		c.prove(g)
	}
}

// states returns what the copy holds of its generations: all that are not
// sealed and the newest sealed ones.
func (c *replica) states() []dtc.GenerationState {
	all := c.generations
	drop := max(len(all)-dtc.MaxGenerations, 0)
	out := make([]dtc.GenerationState, 0, len(all)-drop)
	for _, g := range all {
		if drop > 0 && g.sealed() {
			drop--
			continue
		}
		c.prove(g)
		out = append(out, dtc.GenerationState{
			Generation: g.number, Identity: g.identity, Start: g.start, Position: g.position,
			Durable: c.durablePosition(g), Sum: g.sum,
			HeadLen: g.head.len, Head: g.head.hash, MarkerLen: g.marker.len, Marker: g.marker.hash,
			Sealed: g.sealed(),
		})
	}
	if n := len(out); n > dtc.MaxGenerations {
		out = out[n-dtc.MaxGenerations:]
	}
	return out
}

// durablePosition returns up to where a generation is safe from a power loss.
func (c *replica) durablePosition(g *generation) int64 {
	if g != c.receiving() {
		return g.position // each switch makes it so
	}
	return min(g.position, c.position(c.durableBase()))
}

// unlimited is the end of a range that goes as far as there is.
const unlimited = math.MaxInt64

// hash returns the short hash of b.
func hash(b []byte) (h dtc.Hash) {
	sum := sha256.Sum256(b)
	copy(h[:], sum[:])
	return h
}

// contextReader stops reading when its context is done.
type contextReader struct {
	ctx context.Context //nolint:containedctx // io.ReaderAt has no place for it
	io.ReaderAt
}

func (r contextReader) ReadAt(b []byte, at int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.ReaderAt.ReadAt(b, at)
}
