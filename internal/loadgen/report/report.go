// Package report shows a result to people and machines: as text at the end of a
// run, as JSON, as Markdown for a pull request and as one self-contained HTML
// page.
//
// It works from the result file alone and concludes nothing: thresholds and
// verdict are in the result already. What each format says, and in which order,
// is decided once, in a view that all of them but JSON write down: what does not
// add up, the verdict on the instrument, thresholds, then each workload, what the
// server under test used, the generator's health and where the numbers come from. A
// metric it has never heard of is shown like any other.
//
// A quantile q of n samples with n·(1−q) < 10 rests on too few samples: it is
// marked with "~".
//
// Reports get shared, so the values of request headers that carry credentials,
// and a password in the target, are left out of every format.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Options of a report. The zero value is plain and as wide as it gets.
type Options struct {
	// Color allows ANSI colours in text. Whoever sets it has looked at the
	// terminal and at NO_COLOR.
	Color bool
	// Width of the terminal in columns; text leaves out columns of a table that
	// would not fit. 0 is no limit.
	Width int
}

// A format writes one result; between stands between two results, and is empty
// where one file holds one result.
type format struct {
	write   func(io.Writer, *result.Result, Options) error
	between string
}

func formats() map[string]format {
	return map[string]format{
		"text": {write: Text, between: "\n"},
		"json": {write: func(w io.Writer, r *result.Result, _ Options) error { return JSON(w, r) }, between: "\n"},
		"md":   {write: func(w io.Writer, r *result.Result, _ Options) error { return Markdown(w, r) }, between: "\n---\n\n"},
		"html": {write: func(w io.Writer, r *result.Result, _ Options) error { return HTML(w, r) }},
	}
}

// Formats lists the names that Write knows, sorted.
func Formats() []string { return slices.Sorted(maps.Keys(formats())) }

// Write writes results in the named format, one after the other. It fails on an
// unknown format, and on several results where the format holds but one.
// Nothing is written unless every result could be.
func Write(w io.Writer, name string, results []*result.Result, o Options) error {
	f, ok := formats()[name]
	if !ok {
		return fmt.Errorf("unknown report format %q: choose %s", name, strings.Join(Formats(), ", "))
	}
	if len(results) == 0 {
		return errors.New("no result to report on")
	}
	if len(results) > 1 && f.between == "" {
		return fmt.Errorf("a report in format %s holds one result, not %d: write them one at a time", name, len(results))
	}
	var b bytes.Buffer
	for i, r := range results {
		if i > 0 {
			b.WriteString(f.between)
		}
		if err := f.write(&b, r, o); err != nil {
			return fmt.Errorf("report on %s as %s: %w", r.ID, name, err)
		}
	}
	_, err := b.WriteTo(w)
	return err
}
