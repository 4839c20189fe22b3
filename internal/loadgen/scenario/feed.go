package scenario

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Rows is a feed file in memory. Any number of goroutines may use it at once.
type Rows struct {
	rows   []map[string]string
	random bool
	seed   uint64
}

// maxFeed is the largest feed file, 256 MiB: it is held in memory.
const maxFeed = 256 << 20

// OpenFeed reads the file of f, relative to dir. A name that ends in .jsonl or
// .ndjson is JSONL, one flat object a line, all with the same keys; any other
// is CSV with a header line. Errors name file and line.
func OpenFeed(dir string, f *Feed, seed uint64) (*Rows, error) {
	path := f.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	src, err := readFeed(path)
	if err != nil {
		return nil, err
	}
	r := &Rows{random: f.Order == FeedRandom, seed: seed}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		r.rows, err = readJSONL(path, src)
	default:
		r.rows, err = readCSV(path, src)
	}
	if err != nil {
		return nil, err
	}
	if len(r.rows) == 0 {
		return nil, fmt.Errorf("%s: no rows", path)
	}
	return r, nil
}

func readFeed(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		var e *fs.PathError
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("open feed %s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("open feed %s: not a regular file", path)
	case info.Size() > maxFeed:
		return nil, fmt.Errorf("open feed %s: %d bytes are above the limit of %d", path, info.Size(), maxFeed)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open feed: %w", err)
	}
	if !utf8.Valid(src) {
		return nil, fmt.Errorf("%s: not UTF-8 text", path)
	}
	return bytes.TrimPrefix(src, []byte("\ufeff")), nil
}

func readCSV(path string, src []byte) ([]map[string]string, error) {
	r := csv.NewReader(bytes.NewReader(src))
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:1: no header line", path)
	}
	if err != nil {
		return nil, csvError(path, err)
	}
	seen := make(map[string]bool)
	for _, name := range header {
		if name == "" || seen[name] {
			return nil, fmt.Errorf("%s:1: column name %q is empty or given twice", path, name)
		}
		seen[name] = true
	}
	var rows []map[string]string
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, csvError(path, err)
		}
		row := make(map[string]string, len(header))
		for i, name := range header {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
}

func csvError(path string, err error) error {
	var e *csv.ParseError
	if errors.As(err, &e) {
		return fmt.Errorf("%s:%d:%d: %w", path, e.Line, e.Column, e.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func readJSONL(path string, src []byte) ([]map[string]string, error) {
	var rows []map[string]string
	line := 0
	for text := range bytes.Lines(src) {
		line++
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		row, err := flatObject(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if len(rows) > 0 {
			if err := sameKeys(rows[0], row); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, line, err)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// flatObject reads one object whose values are text, numbers, true, false or null.
func flatObject(text []byte) (map[string]string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("want a JSON object: %w", err)
	}
	if object == nil {
		return nil, errors.New("want a JSON object, found null")
	}
	row := make(map[string]string, len(object))
	for key, value := range object {
		switch value[0] {
		case '{', '[':
			return nil, fmt.Errorf("the value of %q is no plain value", key)
		case '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return nil, fmt.Errorf("the value of %q: %w", key, err)
			}
			row[key] = s
		case 'n':
			row[key] = ""
		default:
			row[key] = string(value)
		}
	}
	return row, nil
}

func sameKeys(first, row map[string]string) error {
	for key := range first {
		if _, ok := row[key]; !ok {
			return fmt.Errorf("no %q, which the first row has", key)
		}
	}
	for key := range row {
		if _, ok := first[key]; !ok {
			return fmt.Errorf("%q, which the first row has not", key)
		}
	}
	return nil
}

// Len is the number of rows, at least 1.
func (r *Rows) Len() int { return len(r.rows) }

// Row is the row for arrival seq: in order and wrapping around, or drawn by
// seed and seq. The map is shared: it must not be changed.
func (r *Rows) Row(seq uint64) map[string]string {
	n := uint64(len(r.rows))
	if r.random {
		return r.rows[draws(r.seed, hashOf("feed"), seq).Uint64()%n]
	}
	return r.rows[seq%n]
}
