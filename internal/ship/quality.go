package ship

import (
	"cmp"
	"errors"
	"path/filepath"
	"strings"

	"dtc"
	"dtc/internal/follow"
)

// tellQuality tells how well the source can be followed, if that is another
// thing than was told.
func (x *session) tellQuality(st *stream) {
	if x.features&dtc.FeatureNotes == 0 || st.quality == st.followed {
		return
	}
	x.send(st, dtc.Frame{Kind: dtc.FrameFollow, Text: clip(st.quality)})
	st.followed = st.quality
}

// judge says how well the file of st can be followed: "" if it is a local one
// whose changes the system tells. The caller holds s.mu and st's lock. It
// reports whether that is news.
func (s *Shipper) judge(st *stream) bool {
	var words []string
	g := st.chain.Current()
	remote := g != nil && g.File.Remote()
	if remote {
		words = append(words, "polled: "+g.File.System())
	}
	if g != nil && g.File.Weak() {
		words = append(words, "no creation time")
	}
	if !remote && st.polled.Load() {
		words = append(words, "not notified: "+cmp.Or(s.unwatched[filepath.Dir(st.path)], s.unheard, "its folder cannot be watched"))
	}
	quality := strings.Join(words, ", ")
	changed := quality != st.quality
	st.quality = quality
	return changed
}

// whyUnwatched says in a few words why something cannot be watched.
func whyUnwatched(err error) string {
	if limit, ok := errors.AsType[*follow.LimitError](err); ok {
		return limit.Name
	}
	return "it cannot be watched"
}

func removedOnServer(path string) string {
	return "what followed was removed on its file server: " + path
}

// forsake ends a generation of which the file server has nothing any more. It
// reports false if that is not so.
func (x *session) forsake(st *stream, sh *shipment) bool {
	if sh.File == nil || !sh.File.Remote() {
		return false
	}
	if _, err := sh.File.Stat(); !errors.Is(err, follow.ErrStale) {
		return false
	}
	x.log.Info("a followed file was removed on its server", "path", st.path, "alias", st.alias, "position", sh.Position())
	st.chain.Forsake(sh.Generation)
	sh.reason = "removed on its file server before it could be read"
	if sh.number != 0 && sh.Left() == 0 && !sh.sealed {
		st.lost = append(st.lost, loss{sh.number, sh.Position(), removedOnServer(sh.Origin.Path)})
	}
	return true
}
