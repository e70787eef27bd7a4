package cmdline

import (
	"net/url"
	"strings"

	"doppel.live/internal/store/remote"
)

// place reads where images are, and gives a password in it apart. Everybody
// can read the kernel's command line, so that there is a warning.
func (p *parser) place(x Param) (spec string, password remote.Secret) {
	if !remote.Is(x.Value) {
		return x.Value, remote.Secret{}
	}
	l, password, err := remote.Parse(x.Value)
	if err != nil {
		return withoutUser(x.Value), remote.Secret{} // whoever uses it says what is wrong
	}
	if !password.Empty() {
		p.note(x.Key, "the password in it is used, but everybody who sees the boot menu or the network can read it: put it into a file and name that with doppel.credentials=")
	}
	return l.String(), password
}

// userinfo gives where in a URL user and password stand: text[from:to].
func userinfo(text string) (from, to int, ok bool) {
	from = strings.Index(text, "://") + len("://")
	if from < len("://") {
		return 0, 0, false
	}
	end := len(text)
	if i := strings.IndexAny(text[from:], "/?# "); i >= 0 {
		end = from + i
	}
	to = from + strings.LastIndex(text[from:end], "@")
	return from, to, to > from
}

// withoutUser takes user and password out of what may be a URL.
func withoutUser(text string) string {
	if from, to, ok := userinfo(text); ok {
		return text[:from] + text[to+1:]
	}
	return text
}

// secretsIn finds the passwords of the URLs in a value, as they are written
// and as they are meant.
func secretsIn(value string) []remote.Secret {
	var out []remote.Secret
	for {
		from, to, ok := userinfo(value)
		if !ok {
			next := strings.Index(value, "://")
			if next < 0 {
				return out
			}
			value = value[next+len("://"):]
			continue
		}
		if _, written, ok := strings.Cut(value[from:to], ":"); ok && written != "" {
			out = append(out, remote.NewSecret(written))
			if meant, err := url.PathUnescape(written); err == nil && meant != written {
				out = append(out, remote.NewSecret(meant))
			}
		}
		value = value[to:]
	}
}
