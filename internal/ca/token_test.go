package ca

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"dtc/internal/bounds"
)

func TestToken(t *testing.T) {
	want := newToken([32]byte{1, 2, 3})
	text := want.encode()
	if !regexp.MustCompile(`^dtc1_[a-z2-7]{90}$`).MatchString(text) {
		t.Errorf("token %q is not made for pasting", text)
	}
	got, err := ParseToken(" " + text + "\r\n")
	must(t, err)
	if got.CAHash != want.CAHash || !bytes.Equal(got.Secret, want.Secret) {
		t.Errorf("got %x %x, want %x %x", got.CAHash, got.Secret, want.CAHash, want.Secret)
	}
	if other := newToken([32]byte{}); bytes.Equal(other.Secret, want.Secret) || bytes.Equal(other.Secret, make([]byte, secretSize)) {
		t.Error("the secret is not random")
	}
	if s := fmt.Sprintf("%v %s", want, want); strings.Contains(s, fmt.Sprintf("%v", want.Secret)) || strings.Contains(s, text) {
		t.Errorf("printing a token shows it: %s", s)
	}
}

func TestTokenFaults(t *testing.T) {
	text := newToken([32]byte{}).encode()
	damaged := []byte(text)
	damaged[40] ^= 1
	if damaged[40] < 'a' || damaged[40] > 'z' {
		damaged[40] = 'z'
	}
	tests := map[string]struct{ token, want string }{
		"empty":         {"", "begins with dtc1_"},
		"other":         {"eyJhbGciOi", "begins with dtc1_"},
		"later version": {"dtc2_" + text[5:], "begins with dtc1_"},
		"cut at front":  {text[9:], "begins with dtc1_"},
		"cut at end":    {text[:len(text)-3], "92 characters instead of 95"},
		"doubled":       {text + text, "190 characters instead of 95"},
		"one character": {string(damaged), "damaged"},
		"upper case":    {"dtc1_" + strings.ToUpper(text[5:]), "damaged"},
		"line end":      {text[:20] + "\n" + text[21:], "damaged"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseToken(tt.token)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v does not say %q", err, tt.want)
			}
			if len(tt.token) > 20 && strings.Contains(err.Error(), tt.token[6:20]) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error repeats the token or has more lines: %v", err)
			}
		})
	}
}

func FuzzToken(f *testing.F) {
	good := newToken([32]byte{7}).encode()
	for _, s := range []string{"", "dtc1_", good, good[:50], good + "a", strings.ToUpper(good), good[:94] + "b", " " + good + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		defer bounds.Alloc(t, len(s))()
		token, err := ParseToken(s)
		if err != nil {
			return
		}
		if len(token.Secret) != secretSize || token.encode() != strings.TrimSpace(s) {
			t.Errorf("%q was taken as %q", s, token.encode())
		}
	})
}
