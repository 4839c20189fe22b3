package cron

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/edgeload/edgeload/internal/refserver/truth"
)

// PgCronOptions sets up a PgCron. DSN and Caller are required.
type PgCronOptions struct {
	DSN        string        // of the database in which the extension is, a postgres:// URL
	Caller     Caller        // who calls the functions
	Truth      *truth.Ledger // nil keeps nothing
	MaxRunning int           // calls at once; 0 is 32
	Timeout    time.Duration // of a call that says nothing else; 0 is 5 s, as pg_net's
	Log        *slog.Logger  // nil is slog.Default
}

// PgCron lets a real pg_cron schedule. Jobs are in the extension's own tables, and
// their commands call edgeload.invoke, which PgCron installs:
//
//	SELECT cron.schedule('digest', '0 9 * * *', $$SELECT edgeload.invoke('morning-digest', '{"kind": "short"}')$$);
//
// It writes what is asked for into edgeload.run and notifies; a server that listens
// claims the run, so that one of several calls it, and hands it to the Caller. As
// with pg_net, the run in cron.job_run_details has succeeded once the call is asked
// for: what became of the call is in edgeload.run for six hours, and in ground
// truth. For the same reason calls of one job may overlap.
//
// What is asked for while nobody listens is missed, not made up for: when a server
// listens again it marks and counts the runs that were asked for more than 5 s
// before, and makes the younger ones. A run that finds MaxRunning calls under way
// is dropped and counted.
//
// Its methods may be called concurrently.
type PgCron struct {
	o     PgCronOptions
	add   func(truth.Record)
	pool  *pgxpool.Pool
	slots chan struct{} // one token a call under way
	calls sync.WaitGroup
}

const (
	graceOfRun   = 5 * time.Second // how old a run may be that nobody heard of
	keepRuns     = 6 * time.Hour   // as pg_net keeps its answers
	tidyEvery    = time.Minute
	patienceOfDB = 5 * time.Second // for a statement that ends a call or tries a connection
	backoffFirst = 100 * time.Millisecond
	backoffLast  = 5 * time.Second
)

// NewPgCron connects and installs edgeload.invoke and its table, anew where they
// are there already. The user must own them or be a superuser. Close it.
func NewPgCron(ctx context.Context, o PgCronOptions) (*PgCron, error) {
	o.MaxRunning = cmp.Or(o.MaxRunning, 32)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.Default())
	pool, err := pgxpool.New(ctx, o.DSN)
	if err != nil {
		return nil, fmt.Errorf("open pg_cron's database: %w", err)
	}
	if err := install(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("set up pg_cron's database: %w", err)
	}
	return &PgCron{o: o, add: o.Truth.Add, pool: pool, slots: make(chan struct{}, o.MaxRunning)}, nil
}

// Close closes its connections. Run must have returned.
func (p *PgCron) Close() { p.pool.Close() }

// Run listens and calls until ctx ends, connecting again where the connection is
// lost. At the end calls under way are canceled and waited for.
func (p *PgCron) Run(ctx context.Context) {
	defer p.calls.Wait()
	wait := backoffFirst
	for {
		listened, err := p.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if listened {
			wait = backoffFirst
			p.record(truth.Record{Event: "listener_lost", Detail: err.Error()})
		}
		p.o.Log.Warn("cron: not listening to pg_cron, trying again", "wait", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, backoffLast)
	}
}

// listen listens on a connection of its own until that or ctx ends. It says
// whether it came so far.
func (p *PgCron) listen(ctx context.Context) (listened bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patienceOfDB)
		defer cancel()
		_ = conn.Close(closing) // it is given up either way
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	if err := p.catchUp(ctx); err != nil {
		return false, err
	}
	p.record(truth.Record{Event: "listener_ready"})
	next := time.Now().Add(tidyEvery)
	for {
		waiting, cancel := context.WithDeadline(ctx, next)
		n, err := conn.WaitForNotification(waiting)
		due := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			var run int64
			if _, err := fmt.Sscan(n.Payload, &run); err != nil {
				p.o.Log.Warn("cron: a notification that names no run", "channel", channel, "payload", n.Payload)
				continue
			}
			p.take(ctx, run)
		case due:
			if err := p.tidy(ctx, conn); err != nil {
				return true, err
			}
			next = time.Now().Add(tidyEvery)
		default:
			return true, err
		}
	}
}

// tidy tries the connection, forgets old runs, and deals with those that could not
// be claimed.
func (p *PgCron) tidy(ctx context.Context, conn *pgx.Conn) error {
	trying, cancel := context.WithTimeout(ctx, patienceOfDB)
	defer cancel()
	if err := conn.Ping(trying); err != nil {
		return err
	}
	if _, err := p.pool.Exec(trying, "DELETE FROM edgeload.run WHERE asked_at < clock_timestamp() - $1::interval", keepRuns); err != nil {
		return err
	}
	return p.catchUp(ctx)
}

// catchUp deals with the runs that nobody claimed, now that it listens.
func (p *PgCron) catchUp(ctx context.Context) error {
	rows, err := p.pool.Query(ctx, `UPDATE edgeload.run SET claimed_at = clock_timestamp(), error = 'nobody listened'
		WHERE claimed_at IS NULL AND asked_at < clock_timestamp() - $1::interval RETURNING runid, job, scheduled_at`, graceOfRun)
	if err != nil {
		return err
	}
	var c Call
	if _, err := pgx.ForEachRow(rows, []any{&c.RunID, &c.Job, &c.Scheduled}, func() error {
		p.of(c, "missed", "nobody listened")
		return nil
	}); err != nil {
		return err
	}
	rows, err = p.pool.Query(ctx, "SELECT runid FROM edgeload.run WHERE claimed_at IS NULL ORDER BY runid")
	if err != nil {
		return err
	}
	young, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	for _, run := range young {
		p.take(ctx, run)
	}
	return err
}

// take has a run called unless another process does.
func (p *PgCron) take(ctx context.Context, run int64) {
	select {
	case p.slots <- struct{}{}:
	default:
		p.drop(ctx, run)
		return
	}
	p.calls.Go(func() { // Run waits for it
		defer func() { <-p.slots }()
		p.perform(ctx, run)
	})
}

// perform claims a run, calls, and notes what came of it.
func (p *PgCron) perform(ctx context.Context, run int64) {
	c := Call{RunID: run}
	var body string
	var timeout *int
	err := p.pool.QueryRow(ctx, `UPDATE edgeload.run SET claimed_at = clock_timestamp() WHERE runid = $1 AND claimed_at IS NULL
		RETURNING job, function, body, timeout_ms, scheduled_at`, run).Scan(&c.Job, &c.Function, &body, &timeout, &c.Scheduled)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return // another's
	case err != nil:
		p.o.Log.Warn("cron: a run could not be claimed", "run", run, "error", err)
		return // tidy finds it
	}
	c.Body = []byte(body)
	limit := p.o.Timeout
	if timeout != nil && *timeout > 0 {
		limit = time.Duration(*timeout) * time.Millisecond
	}
	p.of(c, "fired", "")
	calling, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	status, err := p.o.Caller.Call(calling, c)
	if err != nil && calling.Err() != nil {
		err = context.Cause(calling)
	}
	cancel()
	event, detail := "succeeded", ""
	switch {
	case err != nil:
		event, detail = "failed", err.Error()
	case status >= 400:
		event, detail = "failed", fmt.Sprintf("HTTP status %d", status)
	}
	p.of(c, event, detail)

	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), patienceOfDB)
	defer cancel()
	if _, err := p.pool.Exec(noting, "UPDATE edgeload.run SET ended_at = clock_timestamp(), http_status = nullif($2, 0), error = nullif($3, '') WHERE runid = $1",
		run, status, detail); err != nil {
		p.o.Log.Warn("cron: the end of a run is not in edgeload.run", "run", run, "error", err)
	}
}

// drop gives up a run that finds too many calls under way, unless another process
// has claimed it.
func (p *PgCron) drop(ctx context.Context, run int64) {
	why := fmt.Sprintf("%d calls under way", p.o.MaxRunning)
	c := Call{RunID: run}
	err := p.pool.QueryRow(ctx, `UPDATE edgeload.run SET claimed_at = clock_timestamp(), error = $2
		WHERE runid = $1 AND claimed_at IS NULL RETURNING job, scheduled_at`, run, why).Scan(&c.Job, &c.Scheduled)
	switch {
	case err == nil:
		p.of(c, "dropped", why)
	case !errors.Is(err, pgx.ErrNoRows):
		p.o.Log.Warn("cron: a run could not be dropped", "run", run, "error", err)
	}
}

// of records an event of a run.
func (p *PgCron) of(c Call, event, detail string) {
	p.record(truth.Record{Name: c.Job, ID: fmt.Sprint(c.RunID), Event: event, Due: c.Scheduled.UTC(), Detail: detail})
}

// record adds to ground truth.
func (p *PgCron) record(r truth.Record) {
	r.Kind = truth.Cron
	p.add(r)
}
