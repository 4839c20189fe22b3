package edge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Terminate ends every worker, as the platform does on SIGTERM: workers take no new
// request and hear beforeunload with ReasonTermination; requests, background tasks
// and open sockets may finish until ctx ends, and then are cut and lost. When it
// returns, no worker lives and none of their goroutines runs. The error says what
// was lost, or what did not end though it was told to. It may be called more than
// once; Life.OnShutdown takes it.
func (s *Server) Terminate(ctx context.Context) error {
	for _, p := range s.pools {
		p.drain()
	}
	var cut, lost int
	for _, p := range s.pools {
		select {
		case <-p.drained:
			continue
		default:
		}
		select {
		case <-p.drained:
		case <-ctx.Done():
			requests, tasks := p.kill()
			cut += requests
			lost += tasks
		}
	}
	var errs []error
	if cut > 0 || lost > 0 {
		errs = append(errs, fmt.Errorf("end the workers: %d requests and sockets cut, %d background tasks lost", cut, lost))
	}
	ended := make(chan struct{})
	go func() { // outlives this call only where a task does
		s.background.Wait()
		close(ended)
	}()
	grace := time.NewTimer(cutGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		errs = append(errs, fmt.Errorf("background tasks did not stop within %s of being told to", cutGrace))
	}
	return errors.Join(errs...)
}

// Close is Terminate without patience: what is under way is cut and lost.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Terminate(ctx)
}

// drain asks the pool's workers to end, and lets no request in any more.
func (p *pool) drain() {
	p.mu.Lock()
	defer p.unlock()
	p.draining = true
	for _, w := range p.waiting {
		w.given <- p.turnedAway(errDraining)
	}
	p.waiting = nil
	for w := range p.live {
		w.terminate()
	}
	p.checkDrained()
}

// kill ends the pool's workers at once, and says what that took along.
func (p *pool) kill() (requests, tasks int) {
	p.mu.Lock()
	defer p.unlock()
	for w := range p.live {
		requests += w.unacked + w.sockets
		tasks += w.pending
		w.die(eventTerminated, ReasonTermination)
	}
	return requests, tasks
}
