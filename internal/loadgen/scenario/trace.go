package scenario

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Trace is a file of arrivals that came once, to come again at the same
// distances: the first row at the start of the measured part, none in the warm-up.
type Trace struct {
	// File is relative to the scenario file.
	File string `yaml:"file" json:"file"`
	// Format is azure (CSV with the columns TIMESTAMP, ContextTokens and
	// GeneratedTokens) or mooncake (JSONL with timestamp in ms, input_length and
	// output_length); default mooncake for a file named .jsonl, .ndjson or .json,
	// otherwise azure.
	Format TraceFormat `yaml:"format,omitempty" json:"format,omitempty"`
	// Speed divides all distances; default 1, and at 2 twice as many come a second.
	Speed float64 `yaml:"speed,omitempty" json:"speed"`
	// From leaves out the rows of so much of the trace's own time; default 0s.
	From Duration `yaml:"from,omitempty" json:"from,omitempty"`
	// Limit is how many rows are replayed at most; default all.
	Limit int `yaml:"limit,omitempty" json:"limit,omitempty"`
}

// TraceFormat is a format of trace files.
type TraceFormat string

// Trace formats.
const (
	TraceAzure    TraceFormat = "azure"
	TraceMooncake TraceFormat = "mooncake"
)

// Limits of a trace.
const (
	maxSpeed       = 1e6
	maxTraceTokens = 1_000_000
)

// complete puts the format in that the file's name says.
func (t *Trace) complete() {
	if t.Format == "" {
		t.Format = TraceAzure
		switch strings.ToLower(filepath.Ext(t.File)) {
		case ".json", ".jsonl", ".ndjson":
			t.Format = TraceMooncake
		}
	}
}

// TraceRows are the rows of a trace that are replayed, at least one, in the order
// of their instants. Any number of goroutines may use them at once.
type TraceRows struct{ rows []traceRow }

type traceRow struct {
	at      time.Duration // from the first row, or from Trace.From; by Speed
	in, out int32
}

// Len is the number of rows.
func (t *TraceRows) Len() int { return len(t.rows) }

// At is when row i comes, from the start of the measured part.
func (t *TraceRows) At(i int) time.Duration { return t.rows[i].at }

// Length is the time that holds all rows, in whole milliseconds.
func (t *TraceRows) Length() time.Duration {
	return (t.rows[len(t.rows)-1].at/time.Millisecond + 1) * time.Millisecond
}

// OpenTrace reads the file of t, relative to dir. Rows that are not in the order of
// their instants are put in it. Errors name file and line.
func OpenTrace(dir string, t *Trace) (*TraceRows, error) {
	path := t.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	src, err := readFeed(path)
	if err != nil {
		return nil, err
	}
	read := readAzure
	if t.Format == TraceMooncake {
		read = readMooncake
	}
	rows, line, err := read(src)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no rows", path)
	}
	slices.SortStableFunc(rows, func(a, b traceRow) int { return cmp.Compare(a.at, b.at) })
	begin := rows[0].at + time.Duration(t.From)
	first, _ := slices.BinarySearchFunc(rows, begin, func(r traceRow, at time.Duration) int { return cmp.Compare(r.at, at) })
	rows = rows[first:]
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no rows from %s on", path, t.From)
	}
	if t.Limit > 0 && t.Limit < len(rows) {
		rows = slices.Clip(rows[:t.Limit])
	}
	for i := range rows {
		at := float64(rows[i].at-begin) / t.Speed
		if at >= float64(maxDuration) {
			return nil, fmt.Errorf("%s: longer than %s: give a speed, from or limit", path, Duration(maxDuration))
		}
		rows[i].at = time.Duration(math.Round(at))
	}
	return &TraceRows{rows}, nil
}

// readAzure reads the CSV of Azure's traces; on an error, line is where it is.
func readAzure(src []byte) (rows []traceRow, line int, err error) {
	r := csv.NewReader(bytes.NewReader(src))
	r.ReuseRecord = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, 1, errors.New("no header line")
	}
	if err != nil {
		return nil, csvLine(err, 1), csvCause(err)
	}
	var columns [3]int
	for i, name := range []string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"} {
		if columns[i] = slices.Index(header, name); columns[i] < 0 {
			return nil, 1, fmt.Errorf("no column %s in the header line", name)
		}
	}
	var start time.Time
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, 0, nil
		}
		if err != nil {
			return nil, csvLine(err, 0), csvCause(err)
		}
		line, _ := r.FieldPos(0)
		at, err := azureTime(record[columns[0]])
		if err != nil {
			return nil, line, err
		}
		if start.IsZero() {
			start = at
		}
		row := traceRow{at: at.Sub(start)}
		if row.in, err = tokensOf("ContextTokens", record[columns[1]]); err != nil {
			return nil, line, err
		}
		if row.out, err = tokensOf("GeneratedTokens", record[columns[2]]); err != nil {
			return nil, line, err
		}
		rows = append(rows, row)
	}
}

// csvLine is the line of an error of encoding/csv.
func csvLine(err error, otherwise int) int {
	var e *csv.ParseError
	if errors.As(err, &e) {
		return e.Line
	}
	return otherwise
}

// csvCause is what such an error says beside the place.
func csvCause(err error) error {
	var e *csv.ParseError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// azureTime reads "2023-11-16 18:15:46.6805900", with any number of decimals, and
// with a zone as in the traces of 2024.
func azureTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("TIMESTAMP %q: want one such as 2023-11-16 18:15:46.6805900", text)
}

func tokensOf(name, text string) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil || n < 0 || n > maxTraceTokens {
		return 0, fmt.Errorf("%s %q: want a whole number from 0 to %d", name, text, maxTraceTokens)
	}
	return int32(n), nil
}

// readMooncake reads the JSONL of Mooncake's traces; on an error, line is where it is.
func readMooncake(src []byte) (rows []traceRow, line int, err error) {
	for text := range bytes.Lines(src) {
		line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var r struct {
			Timestamp    *float64     `json:"timestamp"`
			InputLength  *json.Number `json:"input_length"`
			OutputLength *json.Number `json:"output_length"`
		}
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, line, fmt.Errorf("want an object with timestamp, input_length and output_length: %w", err)
		}
		if r.Timestamp == nil || r.InputLength == nil || r.OutputLength == nil {
			return nil, line, errors.New("want timestamp, input_length and output_length")
		}
		ns := *r.Timestamp * float64(time.Millisecond)
		if math.Abs(ns) > math.MaxInt64/4 {
			return nil, line, fmt.Errorf("timestamp %v: want milliseconds", *r.Timestamp)
		}
		row := traceRow{at: time.Duration(math.Round(ns))}
		if row.in, err = tokensOf("input_length", r.InputLength.String()); err != nil {
			return nil, line, err
		}
		if row.out, err = tokensOf("output_length", r.OutputLength.String()); err != nil {
			return nil, line, err
		}
		rows = append(rows, row)
	}
	return rows, line, nil
}
