package scenario

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A TargetRequest is one request of a target file.
type TargetRequest struct {
	Line    int // of the file, where it begins
	Method  string
	Path    string              // with its query; begins with "/"
	Headers map[string][]string // names as they are written
	Body    []byte
}

// TargetRequests are the requests of a target file, in memory. Any number of
// goroutines may use it at once.
type TargetRequests struct {
	All    []TargetRequest // at least one, in the order of the file
	random bool
	seed   uint64
}

// maxTargetLine is the longest line, in bytes, that vegeta's parser of its http
// format takes: at a longer one it would end the file without a word.
const maxTargetLine = 64<<10 - 2

// complete puts the defaults in.
func (t *Targets) complete() {
	if t.Order == "" {
		t.Order = FeedSequential
	}
	if t.Format == "" {
		t.Format = TargetsHTTP
		switch strings.ToLower(filepath.Ext(t.File)) {
		case ".json", ".jsonl", ".ndjson":
			t.Format = TargetsJSON
		}
	}
}

// OpenTargets reads the file of t, relative to the folder of s, by vegeta's own
// parser. Beyond that parser's rules each request must go to the target of s: its
// URL is a path, or begins with the target. The file of a body (@file) is
// relative to the target file. Errors name file and line.
func OpenTargets(s *Scenario, t *Targets) (*TargetRequests, error) {
	path := t.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.Dir, path)
	}
	src, err := readFeed(path)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(s.Target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	lines := &targetLines{lines: strings.Split(string(src), "\n")}
	targeter := vegeta.NewJSONTargeter(lines, nil, nil)
	if t.Format != TargetsJSON {
		if line, err := lines.prepare(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		targeter = vegeta.NewHTTPTargeter(lines, nil, nil)
	}
	r := &TargetRequests{random: t.Order == FeedRandom, seed: s.Seed}
	for {
		var target vegeta.Target
		err := targeter.Decode(&target)
		if errors.Is(err, vegeta.ErrNoTargets) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, lines.given, err)
		}
		request := TargetRequest{Line: lines.given, Method: target.Method, Headers: target.Header, Body: target.Body}
		if t.Format != TargetsJSON {
			request.Line = lines.begin(target.Method + " " + target.URL)
		}
		if request.Path, err = pathOnTarget(base, target.URL); err == nil {
			err = request.sound()
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, request.Line, err)
		}
		r.All = append(r.All, request)
	}
	if len(r.All) == 0 {
		return nil, fmt.Errorf("%s: no requests", path)
	}
	return r, nil
}

// Index is the place in All of arrival seq's request: in order and wrapping
// around, or drawn by seed and seq.
func (r *TargetRequests) Index(seq uint64) int {
	n := uint64(len(r.All))
	if r.random {
		seq = draws(r.seed, hashOf("targets"), seq).Uint64()
	}
	return int(seq % n)
}

// pathOnTarget is the path of a URL that must lie on the target.
func pathOnTarget(base *url.URL, text string) (string, error) {
	path := text
	if !strings.HasPrefix(text, "/") {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			return "", fmt.Errorf("bad URL: %q is neither a path nor an address such as %s/path", text, base)
		case u.User != nil:
			return "", errors.New("bad URL: no user and password in it, which would stand in reports; use the header Authorization")
		case origin(u) != origin(base):
			return "", fmt.Errorf("bad URL: %s lies on another server than the target, %s; give the path alone, or that target", text, base)
		case u.Fragment != "":
			return "", fmt.Errorf("bad URL: %q: a path has no fragment", text)
		}
		path = u.RequestURI()
	}
	if problem := pathProblem(path); problem != "" {
		return "", fmt.Errorf("bad URL: %s", problem)
	}
	return path, nil
}

// origin is where a URL leads to: scheme, host and port.
func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// sound reports what HTTP or the instrument does not allow in a request.
func (r *TargetRequest) sound() error {
	if !tokenSyntax.MatchString(r.Method) || r.Method != strings.ToUpper(r.Method) || r.Method == "CONNECT" {
		return fmt.Errorf("bad method: %q: want an HTTP method such as GET or POST", r.Method)
	}
	if len(r.Body) > maxOutput {
		return fmt.Errorf("bad body: %d bytes are above the limit of %d", len(r.Body), maxOutput)
	}
	for name, values := range r.Headers {
		switch {
		case !tokenSyntax.MatchString(name):
			return fmt.Errorf("bad header: %q is no header name; between two requests that have headers stands an empty line", name)
		case slices.Contains(ownHeaders(), strings.ToLower(name)):
			return fmt.Errorf("bad header: %s is the instrument's own; leave it out", name)
		case slices.ContainsFunc(values, func(v string) bool { return strings.ContainsFunc(v, isControl) }):
			return fmt.Errorf("bad header: %s: a value has no line breaks or control characters", name)
		}
	}
	return nil
}

// targetLines hands a target file out line by line, so that it is known how far
// a parser has come.
type targetLines struct {
	lines []string
	given int    // so many have been handed out
	rest  string // of the last of them
	began int    // where the request before began, from 1
}

// Read gives one line at most, always with its end: vegeta passes over a last
// line without.
func (l *targetLines) Read(p []byte) (int, error) {
	if l.rest == "" {
		if l.given == len(l.lines) {
			return 0, io.EOF
		}
		l.rest = l.lines[l.given] + "\n"
		l.given++
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// begin finds the line at which the request just read begins.
func (l *targetLines) begin(text string) int {
	for i := l.began; i < l.given; i++ {
		if strings.TrimSpace(l.lines[i]) == text {
			l.began = i + 1
			break
		}
	}
	return l.began
}

// prepare makes the files of bodies relative to dir, and refuses what vegeta's
// parser would not take or not survive. On an error it answers the line.
func (l *targetLines) prepare(dir string) (line int, err error) {
	for i, text := range l.lines {
		if len(text) > maxTargetLine {
			return i + 1, fmt.Errorf("a line of %d bytes is above the limit of %d", len(text), maxTargetLine)
		}
		file, ok := strings.CutPrefix(strings.TrimSpace(text), "@")
		if !ok {
			continue
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		info, err := os.Stat(file)
		switch {
		case err != nil:
			return i + 1, fmt.Errorf("bad body: %w", err)
		case !info.Mode().IsRegular():
			return i + 1, fmt.Errorf("bad body: %s is not a regular file", file)
		case info.Size() > maxOutput:
			return i + 1, fmt.Errorf("bad body: %s has %d bytes, above the limit of %d", file, info.Size(), maxOutput)
		}
		l.lines[i] = "@" + file
	}
	return 0, nil
}
