package http

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/html"

	"doppel.live/internal/store"
)

const (
	indexFile = "index"  // one name a line, for servers that list no folders
	sumsFile  = "B3SUMS" // names the files of an image
	maxPage   = 16 << 20 // bytes
	maxNames  = 100_000

	temporary = ".doppel-" // begins the names of what is not committed; see package dir
)

// child is a name in a folder.
type child struct {
	name   string
	folder bool
}

// List implements store.Store.
func (s *Store) List(folder string) ([]store.Entry, error) {
	prefix := ""
	if folder != "." {
		if err := store.CheckName(folder); err != nil {
			return nil, err
		}
		prefix = folder + "/"
	}
	children, err := s.children(prefix)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && folder != "." {
			return nil, fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
		}
		return nil, s.explain(err)
	}
	return s.entries(prefix, children)
}

// children finds the names in a folder in one of three ways.
func (s *Store) children(prefix string) (list []child, err error) {
	isPage := false
	err = s.patiently(s.ctx, func() error {
		answer, err := s.request(s.ctx, http.MethodGet, prefix, nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
		if isPage = kind == "text/html" || kind == "application/xhtml+xml"; isPage {
			list, err = parseIndex(answer.Body, answer.Request.URL)
		}
		return err
	})
	switch {
	case err == nil && isPage:
		return list, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
		return nil, err
	}
	for _, file := range []string{indexFile, sumsFile} {
		if data, err := store.ReadFile(s, prefix+file, maxPage); err == nil {
			return parseNames(data, file), nil
		}
	}
	if err == nil {
		err = fs.ErrNotExist
	}
	return nil, err
}

// parseIndex finds the children of base that a page of HTML links to. Names
// that no store takes, and those of what is not committed, are left out.
func parseIndex(r io.Reader, base *url.URL) ([]child, error) {
	tokens := html.NewTokenizer(io.LimitReader(r, maxPage))
	tokens.SetMaxBuf(1 << 20)
	seen := map[string]bool{}
	var list []child
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if err := tokens.Err(); err != io.EOF {
				return nil, fmt.Errorf("list of a folder: %w", err)
			}
			return list, nil
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := tokens.TagName()
			if string(name) != "a" {
				continue
			}
			for more {
				var key, value []byte
				key, value, more = tokens.TagAttr()
				c, ok := childOf(base, string(value))
				if string(key) != "href" || !ok || seen[c.name] {
					continue
				}
				if seen[c.name] = true; len(list) == maxNames {
					return nil, fmt.Errorf("list of a folder: more than %d names", maxNames)
				}
				list = append(list, c)
			}
		}
	}
}

// childOf tells whether a link leads to a child of the folder at base.
func childOf(base *url.URL, href string) (child, bool) {
	u, err := base.Parse(href)
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.RawQuery != "" {
		return child{}, false
	}
	name, below := strings.CutPrefix(u.Path, base.Path)
	name, folder := strings.CutSuffix(name, "/")
	if !below || strings.Contains(name, "/") || strings.HasPrefix(name, temporary) || store.CheckName(name) != nil {
		return child{}, false
	}
	return child{name, folder}, true
}

// parseNames reads the names of a text file: of an index one a line, of sums
// the second field of a line, as b3sum writes it.
func parseNames(data []byte, file string) []child {
	list := []child{{name: file}}
	scan := bufio.NewScanner(strings.NewReader(string(data)))
	for scan.Scan() && len(list) < maxNames {
		name := scan.Text()
		if file == sumsFile {
			if _, name, _ = strings.Cut(name, " "); len(name) > 0 {
				name = strings.TrimPrefix(name[1:], "./")
			}
		}
		name, folder := strings.CutSuffix(strings.TrimSpace(name), "/")
		c := child{name, folder}
		if store.CheckName(name) == nil && !strings.Contains(name, "/") && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// entries asks for the size and age of each child, several at a time.
func (s *Store) entries(prefix string, children []child) ([]store.Entry, error) {
	list := make([]store.Entry, len(children))
	errs := make([]error, len(children))
	var asking sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i, c := range children {
		list[i] = store.Entry{Name: c.name, Folder: c.folder}
		if c.folder {
			continue
		}
		turns <- struct{}{}
		asking.Go(func() {
			defer func() { <-turns }()
			about, err := s.stat(s.ctx, prefix+c.name)
			if errors.Is(err, store.ErrNotFile) {
				list[i].Folder = true
				return
			}
			errs[i] = err
			list[i].Size, list[i].Modified, list[i].Regular = about.size, about.modified, err == nil
		})
	}
	asking.Wait()
	var out []store.Entry
	for i, e := range list {
		switch {
		case errs[i] == nil:
			out = append(out, e)
		case !errors.Is(errs[i], fs.ErrNotExist): // named in the list, and gone
			return nil, s.explain(errs[i])
		}
	}
	slices.SortFunc(out, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
