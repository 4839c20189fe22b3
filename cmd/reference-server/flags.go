package main

import (
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/functions"
	"github.com/edgeload/edgeload/internal/refserver/relay"
	"github.com/edgeload/edgeload/internal/refserver/store"
)

// bind declares the flags, in the order in which the help shows them.
func (c *config) bind(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	f.DurationVar(&c.drain, "drain-timeout", edge.DefaultDrain, "how long requests and background tasks may take to finish at the end")

	c.bindPlatform(f)
	c.bindUpstream(f)
	c.bindRelay(f)
	c.bindJobs(f)
	c.bindCron(f)

	f.StringVar(&c.logFormat, "log-format", logText, "`FORMAT` of the log on stderr: text, json")
	f.TextVar(&c.logLevel, "log-level", c.logLevel, "least `LEVEL` that is logged: debug, info, warn, error")
}

// bindPlatform declares workers, limits and keys.
func (c *config) bindPlatform(f *pflag.FlagSet) {
	var about []string
	for _, p := range edge.Profiles() {
		about = append(about, p.Name+": "+p.About)
	}
	f.StringVar(&c.profile, "profile", edge.Profiles()[0].Name, "platform: `NAME` of the limits\n"+strings.Join(about, "\n"))
	f.IntVar(&c.workers, flagWorkers, 0, "platform: workers of each function, taken in turn; by default 1, with the\nprofile guide 1,000")
	f.DurationVar(&c.coldStart, "cold-start", 0, "platform: delay of a worker's start")
	f.IntVar(&c.maxTasks, "max-tasks", edge.DefaultMaxTasks, "platform: waitUntil tasks that may be pending in a worker")
	f.IntVar(&c.maxWaiting, "max-waiting", edge.DefaultMaxWaiting, "platform: requests that may wait for a worker of a function")
	l := &c.limits
	f.TextVar(&l.Policy, flagPolicy, l.Policy, "platform: per_worker, per_request or oneshot, in place of the profile's")
	for _, limit := range []struct {
		to         *time.Duration
		name, what string
	}{
		{&l.CPUSoft, limitPrefix + "cpu-soft", "CPU time from which a worker takes no new request"},
		{&l.CPU, limitPrefix + "cpu", "CPU time at which a worker is killed"},
		{&l.WallClock, limitPrefix + "wall-clock", "age at which a worker is killed; it retires at half of it"},
		{&l.RequestIdle, limitPrefix + "idle", "how long a request may send nothing"},
		{&l.RequestWait, limitPrefix + "wait", "how long a request may wait for a worker"},
	} {
		f.DurationVar(limit.to, limit.name, 0, "platform: "+limit.what+", in place of the profile's; 0 is none")
	}
	f.TextVar((*edge.Size)(&l.Memory), limitPrefix+"memory", edge.Size(0), "platform: `SIZE` of memory above which a worker is killed, as 256MB; 0 is none")
	f.TextVar((*edge.Size)(&l.ResponseBytes), limitPrefix+"response", edge.Size(0), "platform: largest `SIZE` of a buffered response, as 6MB; 0 is none")

	f.StringVar(&c.jwtSecret, "jwt-secret", "", "keys: secret of the keys (HS256), of 32 bytes at least; without it there is no admin interface.\nreference-server keys makes keys of it")
	f.BoolVar(&c.verifyJWT, "verify-jwt", false, "keys: functions ask for a key")
}

// bindUpstream declares the LLM API and its simulator.
func (c *config) bindUpstream(f *pflag.FlagSet) {
	f.StringVar(&c.upstream, "upstream", upstreamEmbedded, "the LLM API that stream-ai calls: embedded, an http(s) `URL`, or env for what\n"+
		envAnthropicURL+" and "+envOpenAIURL+" say.\nKeys are in "+envAnthropicKey+" and "+envOpenAIKey)
	f.TextVar(&c.api, "upstream-api", c.api, "`API` that a request means that names none, and that --upstream URL speaks: anthropic, openai")

	f.TextVar(&c.timing.FirstToken, "sim-ttft", c.timing.FirstToken, "simulator: `DIST` of the first token's delay")
	f.TextVar(&c.timing.Gap, "sim-gap", c.timing.Gap, "simulator: `DIST` of the gap between chunks")
	f.TextVar(&c.timing.Tokens, "sim-tokens", c.timing.Tokens, "simulator: `DIST` of the tokens of a response")
	f.TextVar(&c.timing.PerChunk, "sim-per-chunk", c.timing.PerChunk, "simulator: `DIST` of the tokens of a chunk")
	f.Uint64Var(&c.timing.Seed, "sim-seed", c.timing.Seed, "simulator: seed of all draws")
	f.TextVar(&c.faults, "fault", c.faults, "simulator: `FAULTS` of every answer, as status:529~0.1;cut@10~0.05")
}

// bindRelay declares the rooms.
func (c *config) bindRelay(f *pflag.FlagSet) {
	f.StringVar(&c.relay.Broker, "broker", relay.BrokerMemory, "relay: memory (rooms of one worker), or a redis:// `URL` (rooms of all)")
	f.IntVar(&c.relay.QueueMessages, "relay-queue", 256, "relay: `messages` that may wait for one peer")
	f.IntVar(&c.relay.QueueBytes, "relay-queue-bytes", 4<<20, "relay: payload `bytes` that may wait for one peer")
	f.TextVar(&c.relay.Slow, "relay-slow", c.relay.Slow, "relay: `RULE` for a peer whose queue is full: close, drop-oldest")
	f.IntVar(&c.relay.MaxMessage, "relay-max-message", 1<<20, "relay: largest message in `bytes`; a larger one closes with 1009")
	f.DurationVar(&c.relay.PingInterval, "relay-ping", 20*time.Second, "relay: time between two pings to a peer")
	f.DurationVar(&c.relay.IdleTimeout, "relay-idle", 60*time.Second, "relay: how long a peer may stay silent, pongs included")
}

// bindJobs declares the database and what background work calls.
func (c *config) bindJobs(f *pflag.FlagSet) {
	f.StringVar(&c.store, "store", store.Memory, "database: :memory:, a SQLite `FILE`, or a postgres:// URL")
	f.StringVar(&c.journal, "journal", "", "`FILE` that keeps ground truth over the process's end;\nby default beside the SQLite file")
	f.TextVar(&c.allow, "allow", functions.AllowList{}, "`LIST` of names, addresses and networks that functions may call for a user,\nas hooks.example.com,10.0.0.0/8; by default "+functions.DefaultAllow)
	f.StringVar(&c.webhook, "webhook", "", "track-event: Slack-style `URL` that is told of each event")
	f.TextVar(&c.webhookRetry, "webhook-retry", functions.DefaultPostPolicy(), "track-event: `POLICY` of webhooks and callbacks, as full:base=100ms,attempts=5;\nguide, full, equal, decorrelated or none.\nWithout attempt_timeout an attempt may take 10s; attempt_timeout=0s is none")
	f.IntVar(&c.maxPending, "max-pending", 10_000, "track-event: jobs that may be pending in the process")
}

// bindCron declares who schedules.
func (c *config) bindCron(f *pflag.FlagSet) {
	f.StringVar(&c.cron, "cron", cronEmbedded, "scheduler: embedded, pg_cron (the extension, in the database of --store), off")
	f.TextVar(&c.zone, "cron-timezone", zone{time.UTC}, "scheduler: `ZONE` of the schedules")
}

// zone is a time zone as a flag gives it.
type zone struct{ *time.Location }

// MarshalText returns the zone's name.
func (z zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// UnmarshalText loads a zone by its name in the IANA database.
func (z *zone) UnmarshalText(text []byte) (err error) {
	z.Location, err = time.LoadLocation(string(text))
	return err
}
