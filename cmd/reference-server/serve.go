package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/edgeload/edgeload/internal/refserver/edge"
)

// serve listens, says so on stdout in one line, and serves until ctx ends. What
// the functions stand on outlives them, so that they can finish.
func (p *program) serve(ctx context.Context, stdout io.Writer) error {
	front, err := net.Listen("tcp", p.conf.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", p.conf.listen, err)
	}
	b, err := p.open(ctx, front.Addr())
	if err != nil {
		return errors.Join(err, front.Close())
	}
	return errors.Join(p.serveOn(ctx, front, b, stdout), b.close())
}

// serveOn serves on an open listener, which it closes.
func (p *program) serveOn(ctx context.Context, front net.Listener, b *backing, stdout io.Writer) error {
	server, err := p.handler(b)
	if err != nil {
		return errors.Join(err, front.Close())
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
	background.Go(func() error { return p.relay.Run(behind) })

	serving, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(behind, stop) // a broker that fails ends the server
	if b.cron != nil {
		background.Go(func() error {
			b.cron.Run(serving)
			return nil
		})
	}

	life := &edge.Life{Handler: server, Drain: p.conf.drain, Log: p.log}
	life.OnShutdown(p.relay.Shutdown)
	life.OnShutdown(server.Terminate)
	if _, err := fmt.Fprintf(stdout, "listening on http://%s\n", front.Addr()); err != nil {
		stop()
		cancelBase()
		return errors.Join(fmt.Errorf("say that the server is ready: %w", err), front.Close(), server.Close(), background.Wait())
	}
	p.logReady(front.Addr())

	err = life.Serve(serving, front)
	stop()
	cancelBase()
	err = errors.Join(err, server.Close(), background.Wait())
	for _, x := range p.externals {
		x.Close()
	}
	p.journal(b.ledger)
	p.log.Info("stopped")
	return err
}

// logReady puts what makes this run's answers into the log, and no secret.
func (p *program) logReady(listen net.Addr) {
	upstream, timing := p.conf.upstream, p.conf.timing
	if p.conf.upstreams != nil {
		var at []string
		for api, x := range p.conf.upstreams {
			at = append(at, api.String()+"="+plainly(x.base.String()))
		}
		slices.Sort(at)
		upstream = strings.Join(at, " ")
	}
	p.log.Info("ready", "listen", listen.String(), "upstream", upstream, "api", p.conf.api.String(),
		slog.Group("sim", "ttft", timing.FirstToken.String(), "gap", timing.Gap.String(),
			"tokens", timing.Tokens.String(), "per_chunk", timing.PerChunk.String(), "seed", timing.Seed,
			"faults", p.conf.faults.String()),
		slog.Group("platform", "profile", p.conf.profile, "policy", p.conf.limits.Policy.String(), "workers", p.conf.workers,
			"keys", p.conf.jwtSecret != "", "verify_jwt", p.conf.verifyJWT),
		"broker", p.brokerName(), "store", p.storeName(), "cron", p.conf.cron)
}

// brokerName is the broker without what may be secret.
func (p *program) brokerName() string { return plainly(p.conf.relay.Broker) }

// storeName is the database without what may be secret.
func (p *program) storeName() string { return plainly(p.conf.store) }

// plainly is where a URL leads, and nothing that may be secret: neither user and
// password nor the query, in which databases take passwords, too. What is no URL is
// a name or a file.
func plainly(text string) string {
	scheme, _, isURL := strings.Cut(text, "://")
	if !isURL {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return scheme + "://(unreadable)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
