package logs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// Where retention bounds a copy its bytes lie in several files: the live one,
// which has the alias for a name, and before it closed segments. A segment is a
// live file that was renamed when it was long or old enough. It keeps its number
// and the physical positions in it; nothing is ever written to it again.

// segment is one closed data file of a copy.
type segment struct {
	file   int   // its number, see model.files
	name   int64 // it is called .<alias>.<name>
	base   int64 // logical position of the first byte that came in it
	end    int64 // and behind the last one
	size   int64 // of the file
	weight int64 // bytes of it that count for retention: holes do not
	first  int64 // when its first byte came, Unix seconds; 0: not known
	last   int64 // and its last one
	key    fileKey
	sum    sum // of the generation that its first byte is one of
}

// sum is the CRC-32C of a generation up to some place, if that is known.
type sum struct {
	crc   uint32
	known bool
}

// liveFile is what is known of the data file that the bytes go to now.
type liveFile struct {
	base  int64 // as of a segment
	first int64 // when its first byte came, Unix seconds; 0: none has
	sum   sum   // as of a segment
}

// maxSegments bounds the closed segments of one copy. When there are so many
// the live file goes on.
const maxSegments = 64

// segmentName returns the name of a closed segment of an alias. No other file
// that the program makes has such a name: those end in letters, and an alias
// does not begin with a dot.
func segmentName(alias string, name int64) string {
	return "." + alias + "." + strconv.FormatInt(name, 10)
}

// segmentOf returns the alias and the number of a closed segment's name.
func segmentOf(name string) (alias string, number int64, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 2 || name[0] != '.' {
		return "", 0, false
	}
	alias, digits := name[1:dot], name[dot+1:]
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || number < 0 || number > maxPosition || strconv.FormatInt(number, 10) != digits {
		return "", 0, false
	}
	return alias, number, true
}

func (p *place) segmentPath(name int64) string {
	return path.Join(p.folder, segmentName(p.alias, name))
}

// limits are what retention says of when a live file is closed.
type limits struct {
	length int64 // bytes; 0: however long it is
	age    int64 // of its first byte, in seconds; 0: however old it is
}

// full tells whether the live file is to be closed before n bytes more come.
func (c *replica) full(n int64) bool {
	if c.limits == (limits{}) || c.size == 0 || c.length == c.begun.base || len(c.segments) >= maxSegments {
		return false
	}
	if !c.rollAfter.IsZero() && c.now().Before(c.rollAfter) {
		return false
	}
	return c.long(n) || c.old(c.now())
}

// A live file that is long enough is closed as soon as no more than easyRoll of
// its bytes have to be made durable for that, which its writer waits for; at the
// latest when it is longer by a part of its length.
const (
	easyRoll  = 4 << 20
	roomParts = 4
)

// long tells whether the live file is to be closed because of its length
// before n bytes more come. Holes do not count.
func (c *replica) long(n int64) bool {
	most := c.limits.length
	if most == 0 || c.size-c.hollow+n <= most {
		c.ripe = false // more is kept since
		return false
	}
	if !c.ripe {
		c.hollow = c.size - dataBytes(c.data, c.size)
		c.ripe = c.size-c.hollow+n > most
	}
	easy := c.length-c.durableBase() <= easyRoll
	return c.ripe && (easy || c.size-c.hollow+n > most+most/roomParts)
}

// old tells whether the first byte of the live file came too long ago.
func (c *replica) old(now time.Time) bool {
	return c.limits.age > 0 && now.Unix()-c.liveFirst() >= c.limits.age
}

// liveFirst returns when the first byte of the live file came, which is not
// empty.
func (c *replica) liveFirst() int64 {
	if c.begun.first == 0 {
		return c.lastArrival.time // in the same second as what came before it
	}
	return c.begun.first
}

// rollAgain is how long after a live file could not be closed that is tried
// again.
const rollAgain = 10 * time.Second

// rollIfFull closes the live file if it is to be closed before n bytes of g
// come; g is the receiving generation then.
func (c *replica) rollIfFull(g *generation, n int64) error {
	if !c.full(n) {
		return nil
	}
	return c.roll(g)
}

// roll makes the live file a closed segment and begins a new one for bytes of
// g. It fails only if the copy has to be loaded anew; what keeps it from being
// done is tried again later.
//
// First every byte is durable. Then the file has its new name, and the new
// file is there; until the record that says so is written, a load takes both
// back. So whoever has only the record finds the files that it speaks of.
func (c *replica) roll(g *generation) error {
	if err := c.checkPath(changeMoved); err != nil || c.size == 0 || c.suspect > 0 {
		return err // it is not the file that it was
	}
	name, ok := c.freeName()
	if !ok {
		c.postponeRoll("every name for it is taken")
		return nil
	}
	if err := c.settle(); err != nil {
		return err
	}
	key, _, err := keyOf(c.data)
	if err != nil {
		return err
	}
	f, err := c.setAside(name, key)
	if err != nil || f == nil {
		return err
	}
	entries, err := c.rolled(g, name, key, f)
	old := c.data
	c.data, c.looked = f, c.now()
	if err := errors.Join(err, c.retire(old)); err != nil {
		return err
	}
	if err := c.commit(entries...); err != nil {
		return err
	}
	c.size, c.hollow, c.unsure, c.rollAfter = 0, 0, false, time.Time{}
	c.ripe, c.hasRolled = false, true
	return nil
}

// rolled returns the records of a roll from the file with a key to a new one.
func (c *replica) rolled(g *generation, name int64, key fileKey, f *os.File) ([]entry, error) {
	next, _, err := keyOf(f)
	if err != nil {
		return nil, err
	}
	var entries []entry
	r := c.receiving()
	c.prove(r)
	if r != g {
		c.prove(g)
		entries = append(entries, r)
	}
	c.hollow = c.size - dataBytes(c.data, c.size)
	last := c.lastArrival.time
	if last == 0 {
		last = c.now().Unix()
	}
	return append(entries, g,
		&segmentEntry{
			name: name, size: c.size, weight: c.size - c.hollow, last: last, key: key,
			extent: extentEntry{
				seq: c.last.seq + 1, epoch: c.epoch, base: c.length,
				generation: g.number, source: g.position, sum: g.sum,
			},
		},
		&bootEntry{c.place.boot, next, true},
	), nil
}

// nameTries is how many names of a segment are tried where files that are none
// of the copy's have them.
const nameTries = 64

// freeName returns the name for the live file as a closed segment: the logical
// position of its first byte, or one a little behind that.
func (c *replica) freeName() (int64, bool) {
	for name := c.begun.base; name < min(c.length, c.begun.base+nameTries); name++ {
		if _, err := c.root.Lstat(c.segmentPath(name)); errors.Is(err, fs.ErrNotExist) {
			return name, true
		}
	}
	return 0, false
}

// setAside gives the live file, with its key, the name of a segment and makes a
// new one. nil without an error: it cannot be done now, and all is as before.
func (c *replica) setAside(name int64, key fileKey) (*os.File, error) {
	aside := c.segmentPath(name)
	if err := c.root.Rename(c.dataPath(), aside); err != nil {
		c.postponeRoll(err.Error())
		return nil, nil //nolint:nilnil // as it says
	}
	there, err := c.fileAt(aside)
	if err != nil {
		return nil, err
	}
	if !there.found || !key.is(there.key) { // somebody put another file there at this moment
		return nil, c.root.Rename(aside, c.dataPath())
	}
	f, err := createPlain(c.root, c.dataPath(), os.O_RDWR|os.O_APPEND)
	if err != nil {
		c.postponeRoll(err.Error())
		return nil, c.root.Rename(aside, c.dataPath())
	}
	if err := syncDir(c.root, c.folder); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// postponeRoll notes that the live file cannot be closed now.
func (c *replica) postponeRoll(why string) {
	c.rollAfter, c.noRoll, c.ripe = c.now().Add(rollAgain), why, false
}

// settleRoll takes back a roll that was cut short before its record was
// written, and finishes one whose record is all that there is: then a power loss
// took the names.
func (c *replica) settleRoll() error {
	known := c.model.boot.file
	if known == (fileKey{}) && len(c.segments) == 0 {
		return nil // there is no file yet
	}
	live, err := c.fileAt(c.dataPath())
	if err != nil {
		return err
	}
	if n := len(c.segments); n > 0 && live.found && c.segments[n-1].file == c.files-1 && c.segments[n-1].key.is(live.key) {
		return c.finishRoll(&c.segments[n-1])
	}
	if known == (fileKey{}) || live.found && (live.size > 0 || known.is(live.key)) {
		return nil
	}
	for name := c.begun.base; name < c.begun.base+nameTries; name++ {
		aside, err := c.fileAt(c.segmentPath(name))
		if err != nil {
			return err
		}
		if aside.found && known.is(aside.key) {
			return c.root.Rename(c.segmentPath(name), c.dataPath())
		}
	}
	return nil
}

// finishRoll gives a segment its name; the new live file is made when there
// are bytes for it.
func (c *replica) finishRoll(s *segment) error {
	aside, err := c.fileAt(c.segmentPath(s.name))
	if err != nil || aside.found {
		return err
	}
	c.model.boot.file = fileKey{}
	return c.root.Rename(c.dataPath(), c.segmentPath(s.name))
}

// is tells whether two keys are of one file, on whatever device that is now.
func (k fileKey) is(other fileKey) bool {
	return k.inode == other.inode && (k.born == other.born || k.born == 0 || other.born == 0)
}

// found is a file that stands under a name.
type found struct {
	found bool // there is one, and it is a plain file
	key   fileKey
	size  int64
}

// fileAt returns what stands under a name.
func (p *place) fileAt(name string) (found, error) {
	f, err := openPlain(p.root, name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotPlain) || errors.Is(err, errReplaced) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	key, st, err := keyOf(f)
	return found{true, key, st.size}, errors.Join(err, f.Close())
}

// maxHoles is how many holes of one file are looked for.
const maxHoles = 1000

// dataBytes returns how many of the first bytes of a file take room: holes do
// not.
func dataBytes(f *os.File, size int64) int64 {
	var n, at int64
	for range maxHoles {
		at = dataFrom(f, at, size)
		if at >= size {
			return n
		}
		end := holeFrom(f, at, size)
		n, at = n+end-at, end
	}
	return n + size - at
}
