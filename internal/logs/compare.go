package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// How much is hashed at a time, on both sides. Holes are hashed in blocks of
// one length, so that the hash of one is that of each.
const (
	verifyBlock = 16 << 20
	holeBlock   = 64 << 20
)

// verifyAhead is how many blocks are under way: while the answer for one is
// waited for, the next is hashed.
const verifyAhead = 2

// tellEvery is how often it is told how far a comparison has come.
const tellEvery = 200 * time.Millisecond

// comparing is the comparison of generations with their sources.
type comparing struct {
	st    *stream
	zeros func() [sha256.Size]byte // hash of holeBlock NULs
	tell  func(Finding) error      // how far it has come; nil: nobody asks
	told  time.Time
}

// block is a range of a generation that is compared.
type block struct {
	from, to int64
	same     chan error // nil, errDiffers, or why it is not known
}

// errDiffers says that the copy and the source are not the same.
var errDiffers = errors.New("the copy and the source differ")

// judge says what is known of one generation, whose source is asked if there
// may be one.
func (c *comparing) judge(ctx context.Context, f *Finding) {
	at, err := c.st.missing(f)
	switch {
	case at != nil:
		f.Verdict, f.Place, f.Reason = VerdictDiffers, at, err.Error()
	case err != nil:
		f.Verdict, f.Reason = VerdictUnknown, err.Error()
	case c.st.outlived(f.Generation):
		f.Verdict, f.Reason = VerdictUnknown, "its source is gone, and no checksum of it is known"
	default:
		c.compare(ctx, f)
	}
}

// outlived tells whether only a proof is left of a generation, whose agent has
// let go of it then.
func (st *stream) outlived(generation uint64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, err := st.open()
	return err == nil && c.find(generation) == nil
}

// compare compares one generation block by block.
func (c *comparing) compare(ctx context.Context, f *Finding) {
	switch from, err := c.differs(ctx, f); {
	case errors.Is(err, errDiffers):
		f.Verdict, f.Place = VerdictDiffers, &from
	case err != nil:
		f.Verdict, f.Reason = VerdictUnknown, err.Error()
	default:
		f.Verdict = VerdictExact
	}
}

// differs returns errDiffers with the first byte that is not the same.
func (c *comparing) differs(ctx context.Context, f *Finding) (int64, error) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ahead []block
	for at := f.From; at < f.To || len(ahead) > 0; {
		for at < f.To && len(ahead) < verifyAhead {
			b := block{from: at, to: c.blockEnd(f, at), same: make(chan error, 1)}
			wg.Go(func() { b.same <- c.same(ctx, f.Generation, b.from, b.to) })
			ahead, at = append(ahead, b), b.to
		}
		b := ahead[0]
		ahead = ahead[1:]
		if err := <-b.same; err != nil {
			if !errors.Is(err, errDiffers) {
				return 0, err
			}
			return c.firstOther(ctx, f.Generation, b.from, b.to)
		}
		if err := c.progress(f, b.to); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// firstOther finds the first byte of [from, to), which differs, that does, and
// returns it with errDiffers.
func (c *comparing) firstOther(ctx context.Context, generation uint64, from, to int64) (int64, error) {
	for to-from > 1 {
		middle := from + (to-from)/2
		err := c.same(ctx, generation, from, middle)
		switch {
		case err == nil:
			from = middle
		case errors.Is(err, errDiffers):
			to = middle
		default:
			return 0, err
		}
	}
	return from, errDiffers
}

// blockEnd returns up to where one hash reaches from a position on.
func (c *comparing) blockEnd(f *Finding, at int64) int64 {
	if f.To-at >= holeBlock && c.st.hollow(f.Generation, at, at+holeBlock) {
		return at + holeBlock
	}
	return min(at+verifyBlock, f.To)
}

// progress tells now and then how far a generation has been compared.
func (c *comparing) progress(f *Finding, to int64) error {
	now := time.Now()
	if c.tell == nil || now.Sub(c.told) < tellEvery {
		return nil
	}
	c.told = now
	p := *f
	p.Verdict, p.Place = VerdictChecking, &to
	return c.tell(p)
}

// same compares [from, to) of a generation on both sides: errDiffers if that
// is not the same.
func (c *comparing) same(ctx context.Context, generation uint64, from, to int64) error {
	var mine [sha256.Size]byte
	var mineErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		if to-from == holeBlock && c.st.hollow(generation, from, to) {
			mine = c.zeros()
			return
		}
		mine, mineErr = c.st.hashRange(ctx, generation, from, to)
	})
	a, err := c.st.ask(ctx, generation, from, to)
	wg.Wait()
	switch {
	case mineErr != nil:
		return mineErr
	case err != nil:
		return err
	case a.Text != "":
		return errors.New(answerText(a.Text))
	case a.End < to:
		return fmt.Errorf("the source has only %d bytes of it", a.End)
	case len(a.Data) != sha256.Size:
		return errors.New("its agent sent no hash")
	case !bytes.Equal(mine[:], a.Data):
		return errDiffers
	}
	return nil
}

// hollow tells whether [from, to) of a generation is all hole in the copy.
func (st *stream) hollow(generation uint64, from, to int64) bool {
	st.mu.Lock()
	parts, files, err := st.partsOf(generation, from, to)
	st.mu.Unlock()
	if err != nil {
		return false
	}
	defer files.close()
	for _, p := range parts {
		if isData(files[p.file], p.physical, p.n) {
			return false
		}
	}
	return true
}

// isData tells whether any of n bytes of a file are not in a hole.
func isData(f *os.File, at, n int64) bool { return dataFrom(f, at, at+n) < at+n }

// partsOf returns the parts of the data files that a range of a generation
// consists of, and these files, open. The stream's mutex is held.
func (st *stream) partsOf(generation uint64, from, to int64) ([]piece, dataFiles, error) {
	c, err := st.open()
	if err != nil {
		return nil, nil, err
	}
	parts, err := cutPieces(c.pieces(generation), from, to)
	if err != nil {
		return nil, nil, err
	}
	files, err := c.openPieces(parts)
	return parts, files, err
}

// zerosHash returns the SHA-256 of n NULs.
func zerosHash(n int64) (sum [sha256.Size]byte) {
	h := sha256.New()
	zeros := make([]byte, 64<<10)
	for n > 0 {
		k := min(n, int64(len(zeros)))
		_, _ = h.Write(zeros[:k]) // it never fails
		n -= k
	}
	return [sha256.Size]byte(h.Sum(sum[:0]))
}
