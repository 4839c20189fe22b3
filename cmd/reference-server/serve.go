package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/functions"
	"github.com/edgeload/edgeload/internal/refserver/llm"
	"github.com/edgeload/edgeload/internal/wire"
)

// program is the server, assembled and not yet listening.
type program struct {
	conf      *config
	log       *slog.Logger
	alarm     *llm.Alarm
	simulator *llm.Simulator
	relay     *functions.WSRelay
	external  *functions.External // nil: the embedded simulator
}

// assemble builds what the configuration asks for; an error is the
// configuration's.
func assemble(conf *config, stderr io.Writer) (*program, error) {
	p := &program{conf: conf, log: newLogger(conf, stderr), alarm: new(llm.Alarm)}
	p.simulator = llm.New(llm.Options{Timing: conf.timing, Faults: conf.faults, Alarm: p.alarm})
	options := conf.relay
	options.Logger = p.log
	var err error
	if p.relay, err = functions.NewWSRelay(options); err != nil {
		return nil, err
	}
	if conf.upstream != nil {
		if p.external, err = functions.NewExternal(conf.upstreamAPI, conf.upstream, conf.apiKey); err != nil {
			return nil, err
		}
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

// streamAI says whom stream-ai asks: the simulator in either form, unless there is
// an upstream elsewhere.
func (p *program) streamAI() functions.StreamAIOptions {
	options := functions.StreamAIOptions{
		API:       p.conf.upstreamAPI,
		Anthropic: functions.Embedded(p.simulator, llm.Anthropic),
		OpenAI:    functions.Embedded(p.simulator, llm.OpenAI),
		Log:       p.log,
	}
	switch {
	case p.external == nil:
	case p.conf.upstreamAPI == llm.OpenAI:
		options.OpenAI = p.external
	default:
		options.Anthropic = p.external
	}
	return options
}

// serve listens, says so on stdout in one line, and serves until ctx ends.
func (p *program) serve(ctx context.Context, stdout io.Writer) error {
	front, err := net.Listen("tcp", p.conf.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", p.conf.listen, err)
	}
	base, cancelBase := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelBase()
	background, behind := errgroup.WithContext(base)
	background.Go(func() error { // it outlives the functions, so that their streams can finish
		if err := p.alarm.Run(behind); err != nil {
			p.log.Warn("the simulator's timing is as coarse as Go's timers", "reason", err)
		}
		return nil
	})
	life := &edge.Life{
		Handler: edge.New(edge.Options{
			Functions: []edge.Function{
				edge.Shared(functions.NameStreamAI, functions.StreamAI(p.streamAI())),
				edge.Shared(functions.NameWSRelay, p.relay),
			},
			Routes: map[string]http.Handler{
				wire.PathMessages:    p.simulator,
				wire.PathCompletions: p.simulator,
			},
			Collectors: []prometheus.Collector{p.simulator, p.relay},
			Log:        p.log,
		}),
		Drain: p.conf.drain,
		Log:   p.log,
	}
	life.OnShutdown(p.relay.Shutdown)
	if _, err := fmt.Fprintf(stdout, "listening on http://%s\n", front.Addr()); err != nil {
		cancelBase()
		return errors.Join(fmt.Errorf("say that the server is ready: %w", err), front.Close(), background.Wait())
	}
	p.logReady(front.Addr())

	err = life.Serve(ctx, front)
	if p.external != nil {
		p.external.Close()
	}
	cancelBase()
	err = errors.Join(err, background.Wait())
	p.log.Info("stopped")
	return err
}

// logReady puts what makes this run's answers into the log.
func (p *program) logReady(listen net.Addr) {
	upstream, timing := upstreamEmbedded, p.conf.timing
	if p.conf.upstream != nil {
		upstream = p.conf.upstream.Redacted()
	}
	p.log.Info("ready", "listen", listen.String(), "upstream", upstream,
		slog.Group("sim", "ttft", timing.FirstToken.String(), "gap", timing.Gap.String(),
			"tokens", timing.Tokens.String(), "per_chunk", timing.PerChunk.String(), "seed", timing.Seed))
}
