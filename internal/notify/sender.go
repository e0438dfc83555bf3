package notify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// kind is a way to tell someone.
type kind struct {
	name   string
	values []string // that it knows; one that must be there ends with a '!'
	make   func(Settings) (Sender, error)
}

// kinds returns all ways to tell someone.
func kinds() []kind {
	return []kind{
		{"webhook", []string{"url!", "secret", "authorization", "ca"}, newWebhook},
		{"slack", []string{"url!", "ca"}, newSlack},
		{"dingtalk", []string{"url!", "secret", "at", "ca"}, newDingTalk},
		{"feishu", []string{"url!", "secret", "ca"}, newFeishu},
		{"wecom", []string{"url!", "ca"}, newWeCom},
		{"telegram", []string{"token!", "chat!", "url", "ca"}, newTelegram},
		{"alertmanager", []string{"url!", "user", "password", "ca"}, newAlertmanager},
		{"email", []string{"server!", "from!", "to!", "user", "password", "tls", "ca"}, newEmail},
		{"syslog", []string{"server!", "facility", "ca"}, newSyslog},
		{"exec", []string{"program!", "args"}, newExec},
	}
}

// NewSender returns a sender of a kind. It connects to nobody and reads no
// file: that is done at each delivery, so that a file may come later, and
// change. An error is one line without any secret.
func NewSender(name string, s Settings) (Sender, error) {
	all := kinds()
	i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
	if i < 0 {
		names := make([]string, len(all))
		for i, k := range all {
			names[i] = k.name
		}
		return nil, fmt.Errorf("%s: %w: there are %s", name, errKind, strings.Join(names, ", "))
	}
	if err := all[i].check(s.Values); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	sender, err := all[i].make(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return sender, nil
}

// check finds what a kind needs and does not get, and what it does not know.
func (k kind) check(given map[string]string) error {
	var faults []string
	known := make(map[string]bool)
	for _, v := range k.values {
		name, needed := strings.CutSuffix(v, "!")
		known[name] = true
		if needed && given[name] == "" {
			faults = append(faults, "it needs "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			faults = append(faults, "it has no "+name)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}
