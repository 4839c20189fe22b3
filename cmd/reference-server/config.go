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
	"github.com/edgeload/edgeload/internal/refserver/functions"
	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/refserver/relay"
	"github.com/edgeload/edgeload/internal/refserver/store"
)

const (
	envPrefix        = "REFSERVER_"
	logText, logJSON = "text", "json"

	upstreamEmbedded, upstreamEnvironment = "embedded", "env"

	cronOff, cronEmbedded, cronExtension = "off", "embedded", "pg_cron"

	flagPolicy, limitPrefix, flagWorkers = "policy", "limit-", "workers"

	leastSecret = 32 // bytes: RFC 7518, section 3.2, and the platform's rule

	// Where the clients of the two APIs find URL and key.
	envAnthropicURL, envAnthropicKey = "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"
	envOpenAIURL, envOpenAIKey       = "OPENAI_BASE_URL", "OPENAI_API_KEY"
)

// config is what flags and environment say.
type config struct {
	listen string
	drain  time.Duration

	profile    string
	limits     edge.Limits // the profile's, with what flags say in place of it
	workers    int
	coldStart  time.Duration
	maxTasks   int
	maxWaiting int
	jwtSecret  string
	verifyJWT  bool

	upstream  string
	upstreams map[llm.API]external // nil: the embedded simulator for both
	api       llm.API
	timing    llm.Timing
	faults    llm.Faults

	relay relay.Options

	store        string
	journal      string // empty: ground truth ends with the process
	allow        functions.AllowList
	webhook      string
	webhookURL   *url.URL // nil: none
	webhookRetry functions.PostPolicy
	maxPending   int

	cron string
	zone zone

	logFormat string
	logLevel  slog.Level
}

// external is an LLM API somewhere else.
type external struct {
	base *url.URL
	key  string // empty: none
}

// parse reads the command line, then the environment for flags that were not
// given. It returns nil where all that was asked for, help, the version or keys,
// has been printed to stdout.
func parse(args []string, getenv func(string) string, stdout io.Writer) (*config, error) {
	conf := &config{timing: llm.Timing{Seed: 1}.OrDefault()}
	asked := false
	cmd := &cobra.Command{
		Use:   "reference-server",
		Short: "A load test's target with a known answer",
		Long: "reference-server serves the guide's edge functions with the platform's limits,\n" +
			"before an upstream simulator whose every instant is stated, and prints one line\n" +
			"when it is ready.\n\n" +
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
			return conf.check(cmd.Flags(), getenv)
		},
	}
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stdout)
	conf.bind(cmd.Flags())
	cmd.AddCommand(keysCommand(getenv))
	if err := cmd.Execute(); err != nil {
		return nil, err
	}
	if !asked {
		return nil, nil
	}
	return conf, nil
}

// check reads what the flag library could not, and fills in what depends on other
// flags.
func (c *config) check(flags *pflag.FlagSet, getenv func(string) string) error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if c.logFormat != logText && c.logFormat != logJSON {
		add(fmt.Errorf("log-format %q: want text or json", c.logFormat))
	}
	if c.cron != cronOff && c.cron != cronEmbedded && c.cron != cronExtension {
		add(fmt.Errorf("cron %q: want embedded, pg_cron or off", c.cron))
	}
	if c.cron == cronExtension && !store.IsPostgres(c.store) {
		add(errors.New("cron pg_cron: want the postgres:// URL of its database in --store"))
	}
	for name, v := range map[string]struct {
		value any
		ok    bool
	}{ // zero would be taken for the default
		"drain-timeout":     {c.drain, c.drain > 0},
		"max-tasks":         {c.maxTasks, c.maxTasks > 0},
		"max-waiting":       {c.maxWaiting, c.maxWaiting > 0},
		"max-pending":       {c.maxPending, c.maxPending > 0},
		"relay-queue":       {c.relay.QueueMessages, c.relay.QueueMessages > 0},
		"relay-queue-bytes": {c.relay.QueueBytes, c.relay.QueueBytes > 0},
		"relay-max-message": {c.relay.MaxMessage, c.relay.MaxMessage > 0},
		"relay-ping":        {c.relay.PingInterval, c.relay.PingInterval > 0},
		"relay-idle":        {c.relay.IdleTimeout, c.relay.IdleTimeout > 0},
	} {
		if !v.ok {
			add(fmt.Errorf("%s %v: want a value above zero", name, v.value))
		}
	}
	if c.coldStart < 0 {
		add(fmt.Errorf("cold-start %s: want zero or more", c.coldStart))
	}
	if c.jwtSecret != "" && len(c.jwtSecret) < leastSecret {
		add(fmt.Errorf("jwt-secret: want at least %d bytes", leastSecret))
	}
	if c.verifyJWT && c.jwtSecret == "" {
		add(errors.New("verify-jwt: want a secret in --jwt-secret"))
	}
	add(checkStore(c.store))
	add(c.checkLimits(flags))
	add(c.checkUpstream(getenv))
	if c.webhook != "" {
		var err error
		if c.webhookURL, err = functions.ParseCallURL(c.webhook); err == nil {
			err = c.allow.Check(c.webhookURL)
		}
		if err != nil {
			add(fmt.Errorf("webhook: %w", err)) // which does not repeat it: it may hold a secret
		}
	}
	if c.journal == "" && c.store != store.Memory && !store.IsPostgres(c.store) {
		c.journal = c.store + ".truth.jsonl"
	}
	return errors.Join(errs...)
}

// checkStore refuses what would be taken for the name of a SQLite file and is none.
// What was given may hold a password, and is not repeated.
func checkStore(dsn string) error {
	scheme, _, isURL := strings.Cut(dsn, "://")
	switch {
	case dsn == "":
		return errors.New("store: want :memory:, the name of a SQLite file, or a postgres:// URL")
	case isURL && !store.IsPostgres(dsn):
		return fmt.Errorf("store of scheme %q: want a postgres:// URL, :memory:, or the name of a SQLite file", scheme)
	case !isURL && (strings.Contains(dsn, "host=") || strings.Contains(dsn, "password=") || strings.Contains(dsn, "dbname=")):
		return errors.New("store: want a postgres:// URL, not a list of keywords and values")
	}
	return nil
}

// checkLimits takes the profile's limits where no flag says otherwise.
func (c *config) checkLimits(flags *pflag.FlagSet) error {
	profile, err := edge.ParseProfile(c.profile)
	if err != nil {
		return err
	}
	said := make(map[string]string)
	flags.Visit(func(f *pflag.Flag) {
		if f.Name == flagPolicy || strings.HasPrefix(f.Name, limitPrefix) {
			said[f.Name] = f.Value.String()
		}
	})
	c.limits = profile.Limits
	if !flags.Changed(flagWorkers) {
		c.workers = profile.Workers
	}
	if c.workers <= 0 {
		return fmt.Errorf("workers %d: want a value above zero", c.workers)
	}
	for name, value := range said {
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("%s %s: %w", name, value, err)
		}
	}
	return c.limits.Check()
}

// checkUpstream finds where the two APIs are. That a variable such as
// ANTHROPIC_BASE_URL stands in the environment is not enough to send load to it:
// --upstream must say so.
func (c *config) checkUpstream(getenv func(string) string) error {
	if c.upstream == upstreamEmbedded {
		return nil
	}
	c.upstreams = make(map[llm.API]external)
	var errs []error
	for _, api := range []struct {
		api            llm.API
		urlVar, keyVar string
	}{{llm.Anthropic, envAnthropicURL, envAnthropicKey}, {llm.OpenAI, envOpenAIURL, envOpenAIKey}} {
		base := ""
		switch {
		case c.upstream == upstreamEnvironment:
			base = getenv(api.urlVar)
		case api.api == c.api:
			base = c.upstream
		}
		if base == "" {
			continue
		}
		u, err := url.Parse(base)
		if err != nil {
			errs = append(errs, fmt.Errorf("upstream: the URL of the %s API cannot be read", api.api))
			continue
		}
		c.upstreams[api.api] = external{u, getenv(api.keyVar)}
	}
	if len(c.upstreams) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("upstream %s: want a URL in %s or %s", c.upstream, envAnthropicURL, envOpenAIURL))
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
