package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/edgeload/edgeload/internal/loadgen/chart"
	"github.com/edgeload/edgeload/internal/loadgen/result"
	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// draw writes one picture for each figure of each kind of load that was measured.
func (f *calibrateFlags) draw(e *result.Envelope, path string) (written []string, err error) {
	prefix := f.chart
	if prefix == "" {
		prefix = strings.TrimSuffix(path, ".json")
	}
	for _, limit := range e.Limits {
		if limit.Busy > 0 {
			continue // in the picture of those without
		}
		for _, figure := range []struct {
			suffix, what string
			of           func(result.CalibrationLevel) result.Spread
		}{
			{"ttft", "error of ttft", func(l result.CalibrationLevel) result.Spread { return l.TTFT }},
			{"itl", "error of itl", func(l result.CalibrationLevel) result.Spread { return l.ITL }},
			{"fanout", "error of fanout", func(l result.CalibrationLevel) result.Spread { return l.Fanout }},
			{"send-lag", "send lag", func(l result.CalibrationLevel) result.Spread { return l.SendLag }},
		} {
			picture := chart.Calibration(fmt.Sprintf("%v: %s", limit.Kind, figure.what), limit.Kind, figure.of, e.Levels)
			if picture.Empty() {
				continue
			}
			svg, err := picture.SVG()
			if err != nil {
				return written, err
			}
			name := prefix + "-" + slug(limit.Kind) + "-" + figure.suffix + ".svg"
			if err := os.WriteFile(name, svg, 0o644); err != nil {
				return written, fmt.Errorf("write the picture: %w", err)
			}
			written = append(written, name)
		}
	}
	return written, nil
}

// slug is a kind of load as part of a file's name.
func slug(k result.LoadKind) string {
	s := "streams"
	if k.Protocol == scenario.WebSocket {
		s = "rooms"
	}
	if k.Over != result.Plain {
		s += "-" + string(k.Over)
	}
	return s
}
