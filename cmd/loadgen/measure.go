package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/driver"
	"github.com/edgeload/edgeload/internal/loadgen/gate"
	"github.com/edgeload/edgeload/internal/loadgen/report"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
	"github.com/edgeload/edgeload/internal/loadgen/target"
)

// conditions are what runs of one command have in common beside their scenarios.
type conditions struct {
	envelope *result.Envelope // nil where there is none; else it has a say in the verdict
	spin     bool             // engine.Plan's Spin
	server   *server          // nil where this command has started none
	sink     *sink.Sink       // nil where no scenario needs one
}

// spinFlag declares the flag that sets conditions.spin.
func spinFlag(cmd *cobra.Command, spin *bool) {
	cmd.Flags().BoolVar(spin, "spin", false, "spin through the end of each wait: sends some 20 µs more punctually, for up to a core of CPU")
}

// measureAll runs scenarios one after the other and hands each result, with the
// files of its folder, to keep. A failure of the tool ends the series, and so does
// the end of the server under test; what was measured before is kept.
func measureAll(ctx context.Context, scenarios []*scenario.Scenario, under conditions, c *console, keep func(*result.Result, map[string][]byte) error) error {
	var worst outcome
	for _, sc := range scenarios {
		if ctx.Err() != nil {
			worst.interrupted = append(worst.interrupted, sc.Name)
			continue
		}
		res, err := measure(ctx, sc, under, c)
		if res == nil {
			if ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err())) {
				return &exit{exitInterrupted, err} // before it had begun
			}
			return err
		}
		if under.envelope != nil {
			res.Validity = res.Validity.With(under.envelope.Check(res)...)
		}
		res.Scrub(sc.Scrub) // also what has come to it since the run
		worst.add(res)
		files, filesErr := runFiles(res)
		var ended *target.EndedError
		if errors.As(err, &ended) && files != nil {
			files[serverLog] = []byte(sc.Scrub(ended.Output))
		}
		err = errors.Join(err, filesErr)
		if files != nil {
			err = errors.Join(err, keep(res, files))
		}
		if err != nil {
			return err
		}
	}
	return worst.err()
}

// measure runs one scenario and judges its thresholds. Where the server under test
// ended in the run, the error says so and the result is there all the same.
func measure(ctx context.Context, sc *scenario.Scenario, under conditions, c *console) (*result.Result, error) {
	plan, err := driver.Plan(sc, driver.Options{Sink: under.sink})
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	id := result.NewID(time.Now(), sc.Name)
	progress := c.progress(sc)
	plan.Observe, plan.Spin = progress.Observe, under.spin
	res, err := under.server.during(ctx, sc, func(ctx context.Context, began func(time.Time)) (*result.Result, error) {
		defer relaxGC(ctx)()
		plan.Began = began
		return plan.Run(ctx, id)
	})
	progress.Close()
	if err != nil {
		err = fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	if res == nil {
		return nil, err
	}
	thresholds, doubt := gate.Evaluate(res)
	if res.Thresholds = thresholds; doubt != nil {
		// Thresholds were checked with the scenario; what cannot be judged all the
		// same stands as "no data", and the run is worth keeping.
		res.Warnings = append(res.Warnings, doubt.Error())
	}
	return res, err
}

// runFiles is what a run's folder holds. The result is there even when its page
// could not be made.
func runFiles(res *result.Result) (map[string][]byte, error) {
	encoded, err := res.Encode()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{result.FileName: encoded}
	var page bytes.Buffer
	if err := report.HTML(&page, res); err != nil {
		return files, fmt.Errorf("write the HTML report: %w", err)
	}
	files["report.html"] = page.Bytes()
	return files, nil
}

// An outcome gathers what the runs of one command came to; the worst decides
// the exit code.
type outcome struct {
	interrupted, invalid, failed []string
}

func (o *outcome) add(res *result.Result) {
	name := res.Scenario.Name
	if res.Interrupted {
		o.interrupted = append(o.interrupted, name)
	}
	if res.Validity.State == result.Invalid {
		o.invalid = append(o.invalid, name+because(res.Validity))
	}
	if gate.Failed(res.Thresholds) {
		o.failed = append(o.failed, name)
	}
}

// because is the worst reason of a verdict and its remedy, in one line.
func because(v result.Validity) string {
	if len(v.Reasons) == 0 {
		return ""
	}
	worst := v.Reasons[0]
	return fmt.Sprintf(": %s: %s: %s", worst.Check, worst.Detail, worst.Remedy)
}

// err is the reason in one line, or nil when everything passed. An interrupted
// run says nothing about its thresholds, an invalid one vouches for none.
func (o *outcome) err() error {
	list := func(names []string) string { return strings.Join(names, ", ") }
	switch {
	case len(o.interrupted) > 0:
		return &exit{exitInterrupted, fmt.Errorf("interrupted: %s", list(o.interrupted))}
	case len(o.invalid) > 0:
		return &exit{exitInvalid, fmt.Errorf("INVALID: %s", strings.Join(o.invalid, "; "))}
	case len(o.failed) > 0:
		return &exit{exitThreshold, fmt.Errorf("thresholds failed: %s", list(o.failed))}
	}
	return nil
}
