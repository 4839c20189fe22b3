package driver

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A jobServer is a target whose requests name, in their body, the address to be called
// when the job is done.
type jobServer struct {
	*httptest.Server
	t       *testing.T
	do      func(*askedJob)
	client  http.Client
	ctx     context.Context
	end     context.CancelFunc
	jobs    sync.WaitGroup
	asked   atomic.Int64
	running atomic.Int64
}

// An askedJob is one request of it, in a goroutine of its own.
type askedJob struct {
	server   *jobServer
	n        int64 // from 0
	w        http.ResponseWriter
	body     string
	answered chan struct{}
}

// newJobServer starts a server that does do with each request; it must answer.
func newJobServer(t *testing.T, do func(*askedJob)) *jobServer {
	t.Helper()
	s := &jobServer{t: t, do: do, client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.die)
	return s
}

// die ends the server with its jobs.
func (s *jobServer) die() {
	s.end()
	_ = s.Listener.Close() // first, or it would take new connections
	s.CloseClientConnections()
	s.Close()
	s.jobs.Wait()
	s.client.CloseIdleConnections()
}

func (s *jobServer) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it has left
	}
	j := &askedJob{server: s, n: s.asked.Add(1) - 1, w: w, body: string(body), answered: make(chan struct{})}
	s.jobs.Go(func() { s.do(j) })
	<-j.answered
}

// answer answers the request; the answer has left when it returns.
func (j *askedJob) answer(status int) {
	j.w.Header().Set("Content-Length", "2")
	j.w.WriteHeader(status)
	_, _ = io.WriteString(j.w, "{}") // the client may have left
	_ = http.NewResponseController(j.w).Flush()
	close(j.answered)
}

// work works for so long; false where the server died meanwhile.
func (j *askedJob) work(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-j.server.ctx.Done():
		return false
	}
}

// call says that the job is done, at the address that the request gave.
func (j *askedJob) call() { j.callAt(j.body, "") }

// callAt calls an address with a body.
func (j *askedJob) callAt(url, body string, headers ...string) (status int) {
	req, err := http.NewRequestWithContext(j.server.ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		j.server.t.Error(err)
		return 0
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := j.server.client.Do(req)
	if err != nil {
		return 0 // the sink is closed, or this server
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
