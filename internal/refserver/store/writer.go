package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Bounds of the writer.
const (
	queueLength = 4096 // writes that wait; a caller that finds it full waits too, up to the end of its context
	maxBatch    = 512  // writes of one transaction
)

// WriteStats counts what the writer of SQLite has done; on PostgreSQL it is zero.
type WriteStats struct {
	Writes  uint64 `json:"writes"`  // acknowledged, failures included
	Batches uint64 `json:"batches"` // transactions they took
	Waited  uint64 `json:"waited"`  // writes that found the queue full and waited for room
}

// writer is the one goroutine of a process that writes to a SQLite database. It
// commits in one transaction what has gathered while it committed the last one.
type writer struct {
	db      *sql.DB
	queue   chan *writing
	closing chan struct{}
	once    sync.Once
	done    chan struct{}        // closed when the goroutine has ended
	stmts   map[string]*sql.Stmt // of the hot queries, on the one connection

	writes, batches, waited atomic.Uint64
}

// writing is one write that waits.
type writing struct {
	fn      func(ctx context.Context, q querier) error
	claimed atomic.Bool // by the writer, or by a caller that gave up
	err     error
	done    chan struct{}
}

// startWriter starts the writer of db, which has one connection. Those of hot are
// prepared once.
func startWriter(ctx context.Context, db *sql.DB, hot ...string) (*writer, error) {
	w := &writer{
		db: db, queue: make(chan *writing, queueLength),
		closing: make(chan struct{}), done: make(chan struct{}),
		stmts: make(map[string]*sql.Stmt),
	}
	for _, query := range hot {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("prepare %q: %w", query, err), w.closeStatements())
		}
		w.stmts[query] = stmt
	}
	go w.run()
	return w, nil
}

// do queues fn and waits until it is committed. Once the writer has begun with it,
// the end of ctx no longer matters: an error always means that nothing was written.
func (w *writer) do(ctx context.Context, fn func(ctx context.Context, q querier) error) error {
	op := &writing{fn: fn, done: make(chan struct{})}
	select {
	case <-w.closing:
		return ErrClosed
	default:
	}
	select {
	case w.queue <- op:
	default:
		w.waited.Add(1)
		select {
		case w.queue <- op:
		case <-w.closing:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-op.done:
		return op.err
	case <-ctx.Done():
		if op.claimed.CompareAndSwap(false, true) {
			return ctx.Err()
		}
	case <-w.done:
		if op.claimed.CompareAndSwap(false, true) {
			return ErrClosed // queued behind the last that the writer looked at
		}
	}
	<-op.done
	return op.err
}

// run writes until close, and what is queued then.
func (w *writer) run() {
	defer close(w.done)
	for {
		select {
		case op := <-w.queue:
			w.writeAll(w.gather(op))
			continue
		default:
		}
		select {
		case op := <-w.queue:
			w.writeAll(w.gather(op))
		case <-w.closing:
			if len(w.queue) == 0 {
				return
			}
		}
	}
}

// gather claims first and what is queued behind it, up to maxBatch.
func (w *writer) gather(first *writing) []*writing {
	var batch []*writing
	for op := first; ; {
		if op.claimed.CompareAndSwap(false, true) {
			batch = append(batch, op)
		}
		if len(batch) == maxBatch {
			return batch
		}
		select {
		case op = <-w.queue:
		default:
			return batch
		}
	}
}

// writeAll writes a batch in one transaction or, where one of it fails, each in its
// own, so that nobody fails for another's sake.
func (w *writer) writeAll(batch []*writing) {
	if len(batch) == 0 {
		return
	}
	err := w.transact(batch)
	if err != nil && len(batch) > 1 {
		for _, op := range batch {
			op.err = w.transact([]*writing{op})
		}
	} else {
		for _, op := range batch {
			op.err = err
		}
	}
	w.writes.Add(uint64(len(batch)))
	for _, op := range batch {
		close(op.done)
	}
}

func (w *writer) transact(batch []*writing) error {
	ctx := context.Background() // a write that has begun is finished
	w.batches.Add(1)
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	q := prepared{Tx: tx, stmts: w.stmts}
	for _, op := range batch {
		if err := op.fn(ctx, q); err != nil {
			return errors.Join(err, rollback(tx))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", errors.Join(err, rollback(tx)))
	}
	return nil
}

// close ends the writer after what is queued.
func (w *writer) close() error {
	w.once.Do(func() { close(w.closing) })
	<-w.done
	return w.closeStatements()
}

func (w *writer) closeStatements() error {
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	clear(w.stmts)
	return errors.Join(errs...)
}

// WriteStats returns what was written so far.
func (s *Store) WriteStats() WriteStats {
	if s.sqlite == nil {
		return WriteStats{}
	}
	w := s.sqlite.writer
	return WriteStats{Writes: w.writes.Load(), Batches: w.batches.Load(), Waited: w.waited.Load()}
}

// prepared runs statements in a transaction, the hot ones without parsing them anew.
// Only the writer's goroutine uses it.
type prepared struct {
	*sql.Tx
	stmts map[string]*sql.Stmt
}

// ExecContext implements querier.
func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := p.stmts[query]; stmt != nil {
		return p.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return p.Tx.ExecContext(ctx, query, args...)
}
