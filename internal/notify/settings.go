package notify

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inFile is what a value begins with that is the content of a file.
const inFile = "file="

// maxValueFile is how many bytes a file with a value may have.
const maxValueFile = 64 << 10

// values are the settings of one delivery. A value is read when it is asked
// for; what is secret is remembered, so that no error says it.
type values struct {
	settings Settings
	secrets  []string // longest first
}

// read returns the settings for one delivery.
func (s Settings) read() *values { return &values{settings: s} }

// now returns the time.
func (s Settings) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// path returns where a file of the settings is.
func (s Settings) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Home, name)
}

// literal returns a value that stands in the configuration itself, and "" for
// one that is the content of a file.
func (s Settings) literal(name string) string {
	value := s.Values[name]
	if strings.HasPrefix(value, inFile) {
		return ""
	}
	return value
}

// get returns a value that may be shown, "" if there is none. What comes out of
// a file is taken as a secret all the same.
func (v *values) get(name string) (string, error) {
	value := v.settings.Values[name]
	file, ok := strings.CutPrefix(value, inFile)
	if !ok {
		return value, nil
	}
	data, err := readValueFile(v.settings.path(file))
	if err != nil {
		return "", errors.New(v.oneLine("read " + name + ": " + err.Error()))
	}
	v.hide(string(data))
	return string(data), nil
}

// secret returns a value that no error may show, "" if there is none.
func (v *values) secret(name string) (string, error) {
	value, err := v.get(name)
	v.hide(value)
	return value, err
}

// hide remembers a secret, in every form in which a peer may send it back.
func (v *values) hide(secret string) {
	if secret == "" {
		return
	}
	bytes, encoded := []byte(secret), string(encodeJSON(secret))
	forms := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
		base64.StdEncoding.EncodeToString(bytes), base64.URLEncoding.EncodeToString(bytes), hex.EncodeToString(bytes),
		encoded[1 : len(encoded)-1],
	}
	if escaped, err := json.Marshal(secret); err == nil { // with <, > and & escaped
		forms = append(forms, string(escaped[1:len(escaped)-1]))
	}
	quoted := strconv.Quote(secret)
	v.secrets = append(v.secrets, append(forms, quoted[1:len(quoted)-1])...)
	slices.SortFunc(v.secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	v.secrets = slices.Compact(v.secrets)
}

// mask returns text with every secret in it replaced.
func (v *values) mask(text string) string {
	for _, s := range v.secrets {
		text = strings.ReplaceAll(text, s, "***")
	}
	return text
}

// Warnings returns a line on each file with a secret that every user of this
// machine may read.
func (s Settings) Warnings() []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		file, ok := strings.CutPrefix(s.Values[name], inFile)
		if !ok || name == "ca" { // certificates are no secret
			continue
		}
		path := s.path(file)
		if info, err := os.Stat(path); err == nil && exposed(info) {
			lines = append(lines, fmt.Sprintf("%s: everybody on this machine may read the %s in it: chmod 600", path, name))
		}
	}
	return lines
}

// readValueFile returns what a file holds, without the white space at its end.
// Its errors name the file, and never say what it holds; they are not escaped.
func readValueFile(path string) ([]byte, error) {
	data, err := readSmallFile(path)
	if err != nil {
		if named, ok := errors.AsType[*fs.PathError](err); ok {
			err = named.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	data = []byte(strings.TrimRight(string(data), " \t\r\n\v\f"))
	if len(data) == 0 {
		return nil, fmt.Errorf("%s: the file is empty", path)
	}
	return data, nil
}

// readSmallFile reads a regular file of at most maxValueFile bytes.
func readSmallFile(path string) ([]byte, error) {
	f, err := openValueFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxValueFile+1))
	if err == nil && len(data) > maxValueFile {
		err = fmt.Errorf("the file has more than %d bytes", maxValueFile)
	}
	return data, err
}
