package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/refserver/relay"
)

const (
	envPrefix        = "REFSERVER_"
	upstreamEmbedded = "embedded"
	logText, logJSON = "text", "json"

	// envAPIKey is where the guide's function finds the key of its upstream.
	envAPIKey       = "ANTHROPIC_API_KEY"
	envOpenAIAPIKey = "OPENAI_API_KEY"
)

// config is what flags and environment say.
type config struct {
	listen      string
	upstream    *url.URL // nil: the embedded simulator
	upstreamAPI llm.API
	apiKey      string
	drain       time.Duration
	timing      llm.Timing
	faults      llm.Faults
	relay       relay.Options
	logFormat   string
	logLevel    slog.Level
}

// parse reads the command line, then the environment for flags that were not
// given. It returns nil where help or the version was asked for, which it has
// printed to stdout.
func parse(args []string, getenv func(string) string, stdout io.Writer) (*config, error) {
	conf := &config{timing: llm.Timing{Seed: 1}.OrDefault()}
	var upstream string
	asked := false
	cmd := &cobra.Command{
		Use:   "reference-server",
		Short: "A load test's target with a known answer",
		Long: "reference-server serves the guide's edge functions before an upstream simulator\n" +
			"whose every instant is stated, and prints one line when it is ready.\n\n" +
			"Each flag can be set by an environment variable, REFSERVER_ and its name in\n" +
			"capitals with underscores (REFSERVER_SIM_TTFT); the flag wins.\n\n" +
			"DIST is a distribution: constant:300ms, uniform:100ms,500ms, lognormal:200ms,0.5\n" +
			"(median, sigma), quantiles:10ms,20ms,90ms (evenly spaced levels) or\n" +
			"quantiles:0=10ms,0.99=80ms,1=2s; for counts whole numbers, or quantiles:NAME with\n" +
			"NAME one of " + strings.Join(llm.Presets(), ", ") + ".",
		Version:           version(),
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			asked = true
			if err := fromEnvironment(cmd.Flags(), getenv); err != nil {
				return err
			}
			return conf.check(upstream, getenv)
		},
	}
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stdout)
	conf.bind(cmd.Flags(), &upstream)
	if err := cmd.Execute(); err != nil {
		return nil, err
	}
	if !asked {
		return nil, nil
	}
	return conf, nil
}

// bind declares the flags.
func (c *config) bind(f *pflag.FlagSet, upstream *string) {
	f.SortFlags = false
	f.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	f.StringVar(upstream, "upstream", upstreamEmbedded, "the LLM API that functions call: embedded, or an http(s) `URL`\n(its key in "+envAPIKey+" or "+envOpenAIAPIKey+")")
	f.TextVar(&c.upstreamAPI, "upstream-api", c.upstreamAPI, "the `API` that stream-ai asks by default: anthropic, openai")
	f.DurationVar(&c.drain, "drain-timeout", edge.DefaultDrain, "how long requests in flight may take to finish at the end")

	f.TextVar(&c.timing.FirstToken, "sim-ttft", c.timing.FirstToken, "simulator: `DIST` of the first token's delay")
	f.TextVar(&c.timing.Gap, "sim-gap", c.timing.Gap, "simulator: `DIST` of the gap between chunks")
	f.TextVar(&c.timing.Tokens, "sim-tokens", c.timing.Tokens, "simulator: `DIST` of the tokens of a response")
	f.TextVar(&c.timing.PerChunk, "sim-per-chunk", c.timing.PerChunk, "simulator: `DIST` of the tokens of a chunk")
	f.Uint64Var(&c.timing.Seed, "sim-seed", c.timing.Seed, "simulator: seed of all draws")
	f.TextVar(&c.faults, "fault", c.faults, "simulator: `FAULTS` of answers, as \"status:529~0.1;cut@10~0.05;seed:7\"")

	f.IntVar(&c.relay.QueueMessages, "relay-queue", 256, "relay: `messages` that may wait for one peer")
	f.IntVar(&c.relay.QueueBytes, "relay-queue-bytes", 4<<20, "relay: payload `bytes` that may wait for one peer")
	f.TextVar(&c.relay.Slow, "relay-slow", c.relay.Slow, "relay: `RULE` for a peer whose queue is full: close, drop-oldest")
	f.IntVar(&c.relay.MaxMessage, "relay-max-message", 1<<20, "relay: largest message in `bytes`; a larger one closes with 1009")
	f.DurationVar(&c.relay.PingInterval, "relay-ping", 20*time.Second, "relay: time between two pings to a peer")
	f.DurationVar(&c.relay.IdleTimeout, "relay-idle", 60*time.Second, "relay: how long a peer may stay silent, pongs included")

	f.StringVar(&c.logFormat, "log-format", logText, "`FORMAT` of the log on stderr: text, json")
	f.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "least `LEVEL` that is logged: debug, info, warn, error")
}

// check reads what the flag library could not.
func (c *config) check(upstream string, getenv func(string) string) error {
	var errs []error
	if c.logFormat != logText && c.logFormat != logJSON {
		errs = append(errs, fmt.Errorf("log-format %q: want text or json", c.logFormat))
	}
	above0 := func(name string, v any, ok bool) {
		if !ok { // zero would be taken for the default
			errs = append(errs, fmt.Errorf("%s %v: want a value above zero", name, v))
		}
	}
	above0("drain-timeout", c.drain, c.drain > 0)
	above0("relay-queue", c.relay.QueueMessages, c.relay.QueueMessages > 0)
	above0("relay-queue-bytes", c.relay.QueueBytes, c.relay.QueueBytes > 0)
	above0("relay-max-message", c.relay.MaxMessage, c.relay.MaxMessage > 0)
	above0("relay-ping", c.relay.PingInterval, c.relay.PingInterval > 0)
	above0("relay-idle", c.relay.IdleTimeout, c.relay.IdleTimeout > 0)
	if upstream != upstreamEmbedded {
		base, err := url.Parse(upstream)
		if err != nil {
			errs = append(errs, fmt.Errorf("upstream: %w", err))
		}
		c.upstream, c.apiKey = base, getenv(envAPIKey)
		if c.upstreamAPI == llm.OpenAI {
			c.apiKey = getenv(envOpenAIAPIKey)
		}
	}
	return errors.Join(errs...)
}

// fromEnvironment sets the flags that were not given from their environment
// variables. An empty variable counts as absent.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(name)
		if f.Changed || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

// version is the module's version as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
