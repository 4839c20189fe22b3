package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	readyPause  = 20 * time.Millisecond // between two questions whether the server is ready
	readyAnswer = 2 * time.Second       // for one answer
)

// await returns when the server is ready, or with the reason why it will not be.
func (p *Process) await(ctx context.Context, ready *probe, timeout time.Duration) error {
	if ready.url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errNotReady)
	defer cancel()
	pause := time.NewTimer(0)
	defer pause.Stop()
	last := "no answer"
	for {
		select {
		case <-p.Exited():
			e, _ := p.Ended()
			return fmt.Errorf("%s before %s answered", e.Status, ready.url)
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errNotReady) {
				return fmt.Errorf("await %s: %w", ready.url, ctx.Err())
			}
			return fmt.Errorf("%w within %v: %s: %s", errNotReady, timeout, ready.url, last)
		case <-pause.C:
		}
		answer, err := ready.ask(ctx)
		pause.Reset(readyPause)
		switch {
		case err == nil && answer.ok:
			select {
			case <-p.Exited(): // then another has answered
			default:
				return nil
			}
		case err == nil:
			last = "answered " + answer.status
		case ctx.Err() == nil:
			last = err.Error()
		}
	}
}

var errNotReady = errors.New("not ready")

// A probe asks one URL whether the server is ready.
type probe struct {
	url    string
	client http.Client
}

type answer struct {
	status string
	ok     bool // 2xx
}

func (a answer) String() string { return a.status }

func newProbe(ready string) (*probe, error) {
	p := &probe{url: ready, client: http.Client{
		// A proxy would answer in the server's place, a kept connection outlive it.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       readyAnswer,
	}}
	if ready == "" {
		return p, nil
	}
	u, err := url.Parse(ready)
	if err != nil {
		return nil, fmt.Errorf("ready URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("ready URL %q: expected http://… or https://…", ready)
	}
	return p, nil
}

func (p *probe) close() { p.client.CloseIdleConnections() }

// ask returns the server's answer, an error when there was none.
func (p *probe) ask(ctx context.Context) (answer, error) {
	if p.url == "" {
		return answer{}, errNotReady
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		if u := new(url.Error); errors.As(err, &u) {
			err = u.Err // the caller names the URL
		}
		return answer{}, err
	}
	_ = resp.Body.Close() // only the status counts
	return answer{status: resp.Status, ok: resp.StatusCode/100 == 2}, nil
}
