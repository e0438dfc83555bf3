package config

import (
	"errors"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

const (
	wantURL      = "an http or https URL as in https://10.0.0.9/hook"
	wantHostPort = "host:port as in mail.example.com:587"
	wantSyslog   = "udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///dev/log"
	wantMail     = "a mail address as in ops@example.com"
	wantSecret   = "the secret, or file=PATH"
	wantUser     = "a user's name"
)

// notifyKinds are the ways to tell someone, with what each has to be told. All
// of it may stand in a file instead.
func notifyKinds() []*rule {
	address := attribute{name: "url", required: true, secret: true, want: wantURL, check: checkURL}
	base := address
	base.required = false
	secret := attribute{name: "secret", secret: true, want: wantSecret}
	ca := attribute{name: "ca", want: "the path of a file with certificates"}
	user := attribute{name: "user", want: wantUser}
	password := attribute{name: "password", secret: true, want: wantSecret}
	kinds := []*rule{
		{name: "webhook", attrs: []attribute{
			address, secret,
			{name: "authorization", secret: true, want: "the header's value, or file=PATH"},
			ca,
		}},
		{name: "slack", attrs: []attribute{address, ca}},
		{name: "dingtalk", attrs: []attribute{address, secret, {name: "at", want: "phone numbers separated by commas, or all"}, ca}},
		{name: "feishu", attrs: []attribute{address, secret, ca}},
		{name: "wecom", attrs: []attribute{address, ca}},
		{name: "telegram", attrs: []attribute{
			{name: "token", required: true, secret: true, want: "the bot's token, or file=PATH"},
			{name: "chat", required: true, want: `the number of a chat, or @NAME`, check: checkChat},
			base, ca,
		}},
		{name: "email", attrs: []attribute{
			{name: "server", required: true, want: wantHostPort, check: checkHostPort},
			{name: "from", required: true, want: wantMail, check: checkMail},
			{name: "to", required: true, want: "mail addresses separated by commas", check: checkMails},
			user, password,
			{name: "tls", want: oneOf(tlsModes()), check: checkWord(tlsModes())},
			ca,
		}},
		{name: "alertmanager", attrs: []attribute{address, user, password, ca}},
		{name: "syslog", attrs: []attribute{
			{name: "server", required: true, want: wantSyslog, check: checkSyslog},
			{name: "facility", want: "a facility as in daemon or local0", check: checkWord(facilities())},
			ca,
		}},
		{name: "exec", attrs: []attribute{
			{name: "program", required: true, want: "the path of a program"},
			{name: "args", secret: true, want: "arguments separated by spaces"},
		}},
	}
	for _, k := range kinds {
		k.bare, k.repeat = true, true // that there is only one is the notify's business
		for i := range k.attrs {
			k.attrs[i].file = true
		}
	}
	return kinds
}

func tlsModes() []string { return []string{"starttls", "implicit", "none"} }

// facilities are the names of RFC 5424, section 6.2.1, as syslog.conf(5) has
// them.
func facilities() []string {
	return []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
}

func checkWord(words []string) func(string) error {
	return func(value string) error {
		if !slices.Contains(words, value) {
			return errors.New("expected " + oneOf(words))
		}
		return nil
	}
}

// checkURL says nothing of the URL itself, which may hold a secret.
func checkURL(value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return errors.New("it is no URL, expected " + wantURL)
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it does not begin with http:// or https://, expected " + wantURL)
	case u.Hostname() == "":
		return errors.New("it names no host, expected " + wantURL)
	case u.Port() != "" || strings.HasSuffix(u.Host, ":"):
		if _, err := parseNumber(u.Port(), 65535); err != nil {
			return errors.New("its port is wrong, expected a number from 1 to 65535")
		}
	}
	return nil
}

func checkHostPort(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil || host == "" || strings.ContainsAny(host, "/@ ") {
		return errors.New("expected " + wantHostPort)
	}
	if _, err := parseNumber(port, 65535); err != nil {
		return errors.New("its port is wrong, expected a number from 1 to 65535")
	}
	return nil
}

func checkSyslog(value string) error {
	scheme, rest, _ := strings.Cut(value, "://")
	if strings.ContainsAny(rest, "?#%@") {
		return errors.New("expected " + wantSyslog)
	}
	switch scheme {
	case "udp", "tcp", "tls":
		if checkHostPort(rest) == nil {
			return nil
		}
	case "unix":
		if strings.HasPrefix(rest, "/") && len(rest) > 1 {
			return nil
		}
	}
	return errors.New("expected " + wantSyslog)
}

func checkMail(value string) error {
	if _, err := mail.ParseAddress(value); err != nil {
		return errors.New("it is no mail address, expected " + wantMail)
	}
	return nil
}

// checkMails leaves an empty item to who splits the list.
func checkMails(value string) error {
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimFunc(item, isSpace); item != "" && checkMail(item) != nil {
			return errors.New(quote(item) + " is no mail address, expected addresses like ops@example.com separated by commas")
		}
	}
	return nil
}

func checkChat(value string) error {
	name, public := strings.CutPrefix(value, "@")
	digits := strings.Trim(strings.TrimPrefix(value, "-"), "0123456789")
	if public && name != "" && !strings.ContainsFunc(name, isSpace) || !public && digits == "" && value != "-" {
		return nil
	}
	return errors.New("expected the number of a chat as in -1001234567890, or @NAME of a public one")
}
