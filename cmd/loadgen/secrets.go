package main

import "github.com/edgeload/edgeload/internal/loadgen/scenario"

// A scrubbed error is one whose text has no secret of a scenario; what is in its
// chain stays.
type scrubbed struct {
	err  error
	text string
}

func (s *scrubbed) Error() string { return s.text }
func (s *scrubbed) Unwrap() error { return s.err }

// withoutSecrets is err without the secrets of the scenarios in its text; nil of nil.
// A server under test that failed may have written them, and a target that refused a
// request may have answered with them.
func withoutSecrets(err error, scenarios []*scenario.Scenario) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, sc := range scenarios {
		text = sc.Scrub(text)
	}
	if text == err.Error() {
		return err
	}
	return &scrubbed{err, text}
}
