package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// leaderLock is the first key of the advisory lock of the leader; the second is the
// hash of the name of the cron schema.
const leaderLock = 0x6564_6765 // "edge"

// takeLock takes the lead in PostgreSQL, on a connection of its own, which those who
// only wait need not open.
func (l *Lease) takeLock(ctx context.Context) error {
	var led bool
	const look = `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid = $1::bigint::oid AND objid = (hashtext($2)::bigint & 4294967295)::oid)`
	if err := l.store.read.QueryRowContext(ctx, look, int64(leaderLock), l.store.schema).Scan(&led); err != nil {
		return fmt.Errorf("take the lead: %w", err)
	}
	if led {
		return ErrLed
	}
	config, err := l.leaseConfig()
	if err != nil {
		return fmt.Errorf("take the lead: %w", err)
	}
	l.db = stdlib.OpenDB(*config)
	if l.conn, err = l.db.Conn(ctx); err == nil {
		err = l.lockAndLoad(ctx)
	}
	if err == nil {
		return nil
	}
	err = errors.Join(err, l.closeConnection())
	if errors.Is(err, ErrLed) {
		return ErrLed
	}
	return fmt.Errorf("take the lead: %w", err)
}

// leaseConfig makes both ends notice within the lease's time to live that the other
// one is gone: the server by its keepalives, and by the end of a session that is
// idle, as that of a process which stands still.
func (l *Lease) leaseConfig() (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(l.store.postgres.dsn)
	if err != nil {
		return nil, err
	}
	ms := strconv.FormatInt(l.ttl.Milliseconds(), 10)
	for name, value := range map[string]string{
		"application_name":        "edgeload cron leader",
		"tcp_keepalives_idle":     "1",
		"tcp_keepalives_interval": "1",
		"tcp_keepalives_count":    strconv.Itoa(max(1, int(l.ttl/time.Second)-1)),
		"tcp_user_timeout":        ms,
		"statement_timeout":       ms,
	} {
		config.RuntimeParams[name] = value
	}
	config.ConnectTimeout = l.ttl
	return config, nil
}

// lockAndLoad takes the lock, notes the holder and reads what the one before left.
// The session's end is set before it has anything to hold.
func (l *Lease) lockAndLoad(ctx context.Context) error {
	// idle_session_timeout is of PostgreSQL 14; before, it is nothing.
	const timeout = `SELECT set_config(name, $1, false) FROM pg_settings WHERE name = 'idle_session_timeout'`
	if _, err := l.conn.ExecContext(ctx, timeout, strconv.FormatInt(l.ttl.Milliseconds(), 10)); err != nil {
		return err
	}
	var locked bool
	const lock = `SELECT pg_try_advisory_lock($1::int, hashtext($2))`
	if err := l.conn.QueryRowContext(ctx, lock, leaderLock, l.store.schema).Scan(&locked); err != nil {
		return err
	}
	if !locked {
		return ErrLed
	}
	const hold = `UPDATE {leader} SET holder = $1, expires = NULL RETURNING last_tick, lap`
	return l.conn.QueryRowContext(ctx, l.store.sql(hold), l.holder).Scan(instant{&l.LastTick}, &l.Lap)
}

// unlock frees the lock of PostgreSQL. The end of the connection does so too, but
// some time after it was closed here: the server's end of it has yet to notice.
func (l *Lease) unlock(ctx context.Context) error {
	if l.conn == nil {
		return nil
	}
	_, err := l.conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1::int, hashtext($2))`, leaderLock, l.store.schema)
	return err
}

// closeConnection closes the connection, and with it goes the lock. Closing twice
// does nothing.
func (l *Lease) closeConnection() error {
	if l.db == nil {
		return nil
	}
	if l.conn != nil {
		if err := l.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
			return errors.Join(fmt.Errorf("close the lease's connection: %w", err), l.db.Close())
		}
	}
	return l.db.Close()
}
