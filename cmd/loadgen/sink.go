package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
	"github.com/edgeload/edgeload/internal/loadgen/sink"
)

// sinkVariable tells a server that this command starts where the sink is.
const sinkVariable = envPrefix + "SINK_URL"

// sinkFlags say where loadgen's own endpoint is, in place of the scenarios.
type sinkFlags struct {
	listen, url string
}

func (f *sinkFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "sink-listen", "", "`HOST:PORT` that loadgen's own endpoint listens on, instead of the scenario's (default 127.0.0.1:0, a free port)")
	cmd.Flags().StringVar(&f.url, "sink-url", "", "`URL` under which the target reaches loadgen's own endpoint, instead of the scenario's")
}

// open opens the one sink of all scenarios; nil where none of them needs one.
func (f *sinkFlags) open(scenarios []*scenario.Scenario) (*sink.Sink, error) {
	if err := scenario.CheckSink(f.listen, f.url); err != nil {
		return nil, usage(fmt.Errorf("--sink-listen, --sink-url: %w", err))
	}
	o, needed := sink.Options{Listen: f.listen, URL: f.url}, false
	for _, sc := range scenarios {
		if !sc.NeedsSink() {
			continue
		}
		needed = true
		if sc.Sink == nil {
			continue
		}
		for _, place := range []struct {
			of, flag   *string
			name, says string
		}{
			{&o.Listen, &f.listen, "listen", sc.Sink.Listen}, {&o.URL, &f.url, "url", sc.Sink.URL},
		} {
			switch {
			case *place.flag != "" || place.says == "" || *place.of == place.says:
			case *place.of == "":
				*place.of = place.says
			default:
				return nil, usage(fmt.Errorf("scenario %s: sink.%s is %s, and another's %s: run them apart, or give --sink-%s",
					sc.Name, place.name, place.says, *place.of, place.name))
			}
		}
	}
	if !needed {
		return nil, nil
	}
	return sink.Open(o)
}

// sinkEnv is what a started server's environment says of the sink, which may be nil.
func sinkEnv(s *sink.Sink) []string {
	if s == nil {
		return nil
	}
	return []string{sinkVariable + "=" + s.URL()}
}

// closeSink closes the sink, which may be nil, and says on w what came since the last
// run: no result holds it.
func closeSink(s *sink.Sink, w io.Writer) error {
	if s == nil {
		return nil
	}
	err := s.Close()
	late := s.Take().Strays
	if len(late) == 0 {
		return err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(late)) {
		names = append(names, fmt.Sprintf("/%s %d", name, late[name]))
	}
	_, _ = fmt.Fprintf(w, "loadgen: warning: calls came to the sink after the last run: %s\n", strings.Join(names, ", ")) // there is nowhere left to complain
	return err
}
