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

// upstreamListen is where the embedded upstream listens: a real hop over
// loopback, on a port of its own.
const upstreamListen = "127.0.0.1:0"

// program is the server, assembled and not yet listening.
type program struct {
	conf      *config
	log       *slog.Logger
	alarm     *llm.Alarm
	simulator *llm.Simulator
	relay     *functions.WSRelay
	external  *functions.Upstream // nil: the embedded simulator
}

// assemble builds what the configuration asks for; an error is the
// configuration's.
func assemble(conf *config, stderr io.Writer) (*program, error) {
	p := &program{conf: conf, log: newLogger(conf, stderr), alarm: new(llm.Alarm)}
	p.simulator = llm.New(llm.Options{Timing: conf.timing, Alarm: p.alarm})
	options := conf.relay
	options.Logger = p.log
	var err error
	if p.relay, err = functions.NewWSRelay(options); err != nil {
		return nil, err
	}
	if conf.upstream != nil {
		if p.external, err = functions.NewUpstream(conf.upstream, conf.apiKey); err != nil {
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

// serve listens, says so on stdout in one line, and serves until ctx ends. The
// upstream outlives the functions, so that their streams can finish.
func (p *program) serve(ctx context.Context, stdout io.Writer) error {
	front, err := net.Listen("tcp", p.conf.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", p.conf.listen, err)
	}
	base, cancelBase := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelBase()
	background, behind := errgroup.WithContext(base)
	background.Go(func() error {
		if err := p.alarm.Run(behind); err != nil {
			p.log.Warn("the simulator's timing is as coarse as Go's timers", "reason", err)
		}
		return nil
	})
	background.Go(func() error { return p.relay.Run(base) })
	upstream := p.external
	if upstream == nil {
		back, err := net.Listen("tcp", upstreamListen)
		if err != nil {
			cancelBase()
			return errors.Join(fmt.Errorf("listen on %s for the embedded upstream: %w", upstreamListen, err), front.Close(), background.Wait())
		}
		upstream = functions.NewMultiplexedUpstream(back.Addr().String(), upstreamEmbedded)
		mux := http.NewServeMux()
		mux.Handle(wire.PathMessages, p.simulator)
		life := &edge.Life{Handler: mux, Drain: p.conf.drain, Log: p.log}
		background.Go(func() error { return life.Serve(behind, back) })
	}

	life := &edge.Life{
		Handler: edge.New(edge.Options{
			Functions: []edge.Function{
				edge.Shared(functions.NameStreamAI, functions.StreamAI(upstream, p.log)),
				p.relay.Function(),
			},
			Routes:     map[string]http.Handler{wire.PathMessages: p.simulator},
			Workers:    p.conf.workers,
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

	serving, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(behind, stop) // an upstream that fails ends the server
	err = life.Serve(serving, front)
	upstream.Close()
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
