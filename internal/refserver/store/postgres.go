package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// migrationLock is the advisory lock under which one process at a time migrates.
const migrationLock = 0x6564_6765_6c6f_6164 // "edgeload"

func openPostgres(ctx context.Context, dsn string) (*Store, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	s := &Store{postgres: &postgres{pool: pool, db: stdlib.OpenDBFromPool(pool), dsn: dsn}}
	s.read = s.postgres.db
	if err := s.setUpPostgres(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open PostgreSQL: %w", err), s.Close())
	}
	return s, nil
}

// setUpPostgres finds out where the cron tables may live, and migrates.
func (s *Store) setUpPostgres(ctx context.Context) error {
	tx, err := s.postgres.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := s.migratePostgres(ctx, tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

func (s *Store) migratePostgres(ctx context.Context, tx querier) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another process that makes the schema: %w", err)
	}
	var owned bool
	const extension = `SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_cron')`
	if err := tx.QueryRowContext(ctx, extension).Scan(&owned); err != nil {
		return fmt.Errorf("look for pg_cron: %w", err)
	}
	s.schema = "cron"
	if owned {
		s.schema = "edgeload_cron"
	}
	s.names = strings.NewReplacer("{job}", s.schema+".job", "{run}", s.schema+".job_run_details", "{leader}", s.schema+".leader")
	return s.migrate(ctx, tx, postgresParts(s.schema))
}
