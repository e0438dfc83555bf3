package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dtc/internal/bounds"
)

const testPasswd = "root:x:0:0:root:/root:/bin/sh\n# comment:x:1:1\nbroken\n:x:2:2:::\ntoor:x:0:0:::\nbig:x:4294967296:0:::\n" +
	"me:x:1000:1000::/home/me:\n1000:x:7:7:::\n"

func TestUsers(t *testing.T) {
	root := string(testTree(t, map[string]string{"etc/passwd": testPasswd, "run/systemd/dynamic-uid/x": ""}))
	for from, to := range map[string]string{"61234": "made-up", "made-up": "61234"} {
		if err := os.Symlink(to, filepath.Join(root, "run/systemd/dynamic-uid/direct:"+from)); err != nil {
			t.Fatal(err)
		}
	}
	users := NewUsers(root)
	names := users.Load()
	for uid, want := range map[uint32]string{
		0: "root", 1: "1", 2: "2", 7: "1000", 1000: "me", 61234: "made-up", 61235: "61235", 4294967295: "4294967295",
	} {
		for range 2 {
			if got := names.Name(uid); got != want {
				t.Errorf("%d: got %q, want %q", uid, got, want)
			}
		}
	}
	for text, want := range map[string]string{
		"root": "[0]", "toor": "[0]", "me": "[1000]", "1000": "[7 1000]", "3": "[3]", "made-up": "[61234]", "big": "[]", "broken": "[]",
		"": "[]", "-1": "[]", "4294967296": "[]", "../x": "[]", "a\x00b": "[]",
	} {
		if got := fmt.Sprint(names.Numbers(nil, text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}

	path := filepath.Join(root, "etc/passwd")
	if err := os.WriteFile(path, []byte("you:x:1000:1000:::\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := users.Load().Name(1000); got != "you" {
		t.Errorf("after a change: %q", got)
	}
	if got := names.Name(1000); got != "me" {
		t.Errorf("loaded before the change: %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := users.Load().Name(1000); got != "you" {
		t.Errorf("without the file: %q", got)
	}
	if got := NewUsers(root).Load().Name(1000); got != "1000" {
		t.Errorf("never a file: %q", got)
	}
}

func FuzzPasswd(f *testing.F) {
	f.Add([]byte(testPasswd))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		p := parsePasswd(data)
		for uid, name := range p.names {
			if _, ok := p.numbers[name]; !ok || name == "" {
				t.Errorf("%d is called %q, which is nobody", uid, name)
			}
		}
	})
}
