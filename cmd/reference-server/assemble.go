package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edgeload/edgeload/internal/refserver/admin"
	"github.com/edgeload/edgeload/internal/refserver/cron"
	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/functions"
	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/refserver/retry"
	"github.com/edgeload/edgeload/internal/refserver/store"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// program is the server, assembled and not yet listening.
type program struct {
	conf      *config
	log       *slog.Logger
	alarm     *llm.Alarm
	simulator *llm.Simulator
	upstreams map[llm.API]functions.Upstream
	externals []*functions.External
	relay     *functions.WSRelay
}

// assemble builds what needs nothing from outside; an error is the configuration's.
func assemble(conf *config, stderr io.Writer) (*program, error) {
	p := &program{conf: conf, log: newLogger(conf, stderr), alarm: new(llm.Alarm)}
	p.simulator = llm.New(llm.Options{Timing: conf.timing, Faults: conf.faults, Alarm: p.alarm})
	options := conf.relay
	options.Logger = p.log
	var err error
	if p.relay, err = functions.NewWSRelay(options); err != nil {
		return nil, err
	}
	if conf.upstreams == nil {
		p.upstreams = map[llm.API]functions.Upstream{
			llm.Anthropic: functions.Embedded(p.simulator, llm.Anthropic), llm.OpenAI: functions.Embedded(p.simulator, llm.OpenAI),
		}
		return p, nil
	}
	p.upstreams = make(map[llm.API]functions.Upstream)
	for api, at := range conf.upstreams {
		there, err := functions.NewExternal(api, at.base, at.key)
		if err != nil {
			return nil, err
		}
		p.upstreams[api] = there
		p.externals = append(p.externals, there)
	}
	return p, nil
}

func newLogger(conf *config, stderr io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: conf.logLevel}
	if conf.logFormat == logJSON {
		return slog.New(slog.NewJSONHandler(stderr, options))
	}
	return slog.New(slog.NewTextHandler(stderr, options))
}

// backing is what the server stands on while it serves: the database, ground truth
// and what calls out.
type backing struct {
	store    *store.Store
	ledger   *truth.Ledger
	outbound *functions.Outbound
	cronCall *functions.Outbound

	cron      scheduler    // nil: none
	extension *cron.PgCron // nil: cron is the embedded one, or none
}

// scheduler is who schedules, and takes the admin interface's calls.
type scheduler interface {
	admin.Cron
	Run(ctx context.Context)
}

// open opens the database and ground truth, and says in the ledger what became of
// the jobs that an earlier process was killed with.
func (p *program) open(ctx context.Context, listen net.Addr) (_ *backing, err error) {
	b := &backing{ledger: truth.New(0), outbound: functions.NewOutbound(functions.OutboundOptions{Allow: p.conf.allow})}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := p.openLedger(b); err != nil {
		return nil, err
	}
	caller, err := p.cronCaller(b, listen)
	if err != nil {
		return nil, err
	}
	// The extension comes first: it owns the schema cron where it is.
	if p.conf.cron == cronExtension {
		b.extension, err = cron.NewPgCron(ctx, cron.PgCronOptions{DSN: p.conf.store, Caller: caller, Truth: b.ledger, Log: p.log})
		if err != nil {
			return nil, err
		}
		b.cron = b.extension
	}
	if b.store, err = store.Open(ctx, p.conf.store); err != nil {
		return nil, err
	}
	if p.conf.cron == cronEmbedded {
		b.cron = cron.New(cron.Options{Store: b.store, Caller: caller, Truth: b.ledger, Location: p.conf.zone.Location, Log: p.log})
	}
	return b, p.reconcile(ctx, b)
}

// openLedger goes on with the journal where there is one.
func (p *program) openLedger(b *backing) error {
	if p.conf.journal == "" {
		return nil
	}
	ledger, found, err := truth.Open(p.conf.journal, 0)
	if err != nil {
		return fmt.Errorf("%w (--journal names the file)", err)
	}
	b.ledger = ledger
	if found.Records > 0 {
		p.log.Info("ground truth goes on", "journal", p.conf.journal, "records", found.Records, "cut_bytes", found.Cut)
	}
	return nil
}

// reconcile closes the books of an earlier process that was killed.
func (p *program) reconcile(ctx context.Context, b *backing) error {
	if p.conf.journal == "" {
		return nil
	}
	done, err := functions.ReconcileJobs(ctx, b.ledger, b.store.HasJob)
	if err != nil {
		return err
	}
	if done == (functions.Reconciled{}) {
		return nil
	}
	p.log.Warn("an earlier process ended with jobs pending", "completed", done.Completed, "lost", done.Lost)
	wrong, err := b.store.Check(ctx)
	for _, m := range wrong {
		p.log.Error("the database is half-written", "user", m.UserID, "event", m.Event, "counted", m.Counted, "jobs", m.Jobs, "what", m.Detail)
	}
	return err
}

// cronCaller calls the functions of the server itself, and nobody else.
func (p *program) cronCaller(b *backing, listen net.Addr) (cron.Caller, error) {
	self, err := ownURL(listen)
	if err != nil {
		return nil, err
	}
	var allow functions.AllowList
	if err := allow.UnmarshalText([]byte(self.Hostname())); err != nil {
		return nil, fmt.Errorf("call the server itself: %w", err)
	}
	key := ""
	if p.conf.jwtSecret != "" {
		if key, err = edge.MintKey([]byte(p.conf.jwtSecret), edge.RoleService, time.Now().Add(keyLife)); err != nil {
			return nil, err
		}
	}
	b.cronCall = functions.NewOutbound(functions.OutboundOptions{Allow: allow})
	return functions.NewCronCaller(b.cronCall, self, key), nil
}

// ownURL is how the server reaches itself.
func ownURL(listen net.Addr) (*url.URL, error) {
	addr, ok := listen.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("listen on %s: want a TCP address", listen)
	}
	host := addr.IP
	if host.IsUnspecified() {
		host = net.IPv4(127, 0, 0, 1)
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host.String(), fmt.Sprint(addr.Port))}, nil
}

// close closes all of it; what was never opened is nil.
func (b *backing) close() error {
	var errs []error
	if b.outbound != nil {
		b.outbound.Close()
	}
	if b.cronCall != nil {
		b.cronCall.Close()
	}
	if b.extension != nil {
		b.extension.Close()
	}
	if b.store != nil {
		errs = append(errs, b.store.Close())
	}
	return errors.Join(append(errs, b.ledger.Close())...)
}

// handler puts the functions, the upstream and the admin interface together.
func (p *program) handler(b *backing) (*edge.Server, error) {
	retrier := &functions.Retrier{Outbound: b.outbound, Budgets: new(retry.Budgets), Ledger: b.ledger}
	openapi, err := admin.DescriptionHandler()
	if err != nil {
		return nil, err
	}
	tracker := functions.NewTrackEvent(functions.TrackEventOptions{
		Metrics: b.store, Retrier: retrier, Webhook: p.conf.webhookURL, Policy: (*retry.Policy)(&p.conf.webhookRetry), MaxPending: p.conf.maxPending, Ledger: b.ledger, Log: p.log,
	})
	var auth *edge.Auth
	if p.conf.jwtSecret != "" {
		auth = &edge.Auth{Secret: []byte(p.conf.jwtSecret), VerifyJWT: p.conf.verifyJWT}
	}
	var server *edge.Server
	sections := map[string]func() any{
		"process": func() any { return p.about() },
		"workers": func() any { return server.Stats() },
		"llm":     func() any { return p.simulator.Stats() },
		"relay":   func() any { return p.relay.Stats() },
		"store":   func() any { return b.store.WriteStats() },
		"journal": func() any { return p.journal(b.ledger) },
		"jobs":    func() any { return map[string]int{"pending": tracker.Pending()} },
	}
	if embedded, ok := b.cron.(*cron.Scheduler); ok {
		sections["cron"] = func() any { return embedded.Stats() }
	}
	switches := map[string]admin.Switch{"llm": {
		Get: func() string {
			if faults := p.simulator.Faults(); !faults.IsZero() {
				return faults.String()
			}
			return ""
		},
		Set: func(setting string) error {
			var faults llm.Faults
			if err := faults.UnmarshalText([]byte(setting)); err != nil {
				return err
			}
			p.simulator.SetFaults(faults)
			return nil
		},
	}}
	options := admin.Options{Truth: b.ledger, Pending: tracker.Pending, Sections: sections, Switches: switches, Log: p.log}
	if b.cron != nil {
		options.Cron = b.cron
	}
	deployed := []edge.Function{
		edge.Shared(functions.NameStreamAI, functions.StreamAI(functions.StreamAIOptions{
			API: p.conf.api, Anthropic: p.upstreams[llm.Anthropic], OpenAI: p.upstreams[llm.OpenAI], Log: p.log,
		})),
		p.relay.Function(),
		edge.Shared(functions.NameTrackEvent, tracker),
		edge.Shared(functions.NameFetchWithRetry, functions.FetchWithRetry(retrier)),
		edge.Shared(functions.NameMorningDigest, functions.MorningDigest(b.store, b.outbound, b.ledger, p.log)),
		edge.Shared(functions.NameLimits, functions.Limits(p.log)),
	}
	for _, f := range deployed {
		switches["boot:"+f.Name] = bootSwitch(&server, f.Name)
	}
	server = edge.New(edge.Options{
		Functions: deployed,
		Workers:   p.conf.workers, ColdStart: p.conf.coldStart, Limits: p.conf.limits, MaxTasks: p.conf.maxTasks, MaxWaiting: p.conf.maxWaiting,
		Auth: auth, Admin: admin.New(options),
		Routes: map[string]http.Handler{
			wire.PathMessages: p.simulator, wire.PathCompletions: p.simulator, wire.PathOpenAPI: openapi,
		},
		Collectors: []prometheus.Collector{p.simulator, p.relay},
		Ledger:     b.ledger,
		Log:        p.log,
	})
	return server, nil
}

// bootSwitch makes workers of a function fail to start.
func bootSwitch(server **edge.Server, function string) admin.Switch {
	const on = "on"
	return admin.Switch{
		Get: func() string {
			for _, f := range (*server).Stats() {
				if f.Function == function && f.BootFault {
					return on
				}
			}
			return ""
		},
		Set: func(setting string) error {
			if setting != "" && setting != on {
				return fmt.Errorf("setting %q: want on, or nothing for off", setting)
			}
			return (*server).SetBootFault(function, setting == on)
		},
	}
}

// about is what makes this process's answers.
func (p *program) about() any {
	return struct {
		PID     int         `json:"pid"`
		Version string      `json:"version"`
		Profile string      `json:"profile"`
		Limits  edge.Limits `json:"limits"`
		Workers int         `json:"workers"`
		Broker  string      `json:"broker"`
		Cron    string      `json:"cron"`
	}{os.Getpid(), version(), p.conf.profile, p.conf.limits, p.conf.workers, p.brokerName(), p.conf.cron}
}

// journal says whether all of ground truth is in its file, and warns where not.
func (p *program) journal(ledger *truth.Ledger) any {
	unwritten, err := ledger.Unwritten()
	if err != nil {
		p.log.Warn("ground truth is not all in its journal", "journal", p.conf.journal, "unwritten", unwritten, "error", err)
	}
	return struct {
		File      string `json:"file"`      // empty: there is none
		Unwritten uint64 `json:"unwritten"` // records that are not in it
	}{p.conf.journal, unwritten}
}
