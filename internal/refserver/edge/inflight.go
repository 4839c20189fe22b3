package edge

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// inFlight counts running handlers and lets one wait for the last.
type inFlight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil while nobody waits
}

func (f *inFlight) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.n++
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.n--; f.n == 0 && f.idle != nil {
				close(f.idle)
				f.idle = nil
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (f *inFlight) running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// wait returns when no handler runs, or with an error after grace.
func (f *inFlight) wait(grace time.Duration) error {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	f.mu.Unlock()
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	select {
	case <-idle:
		return nil
	case <-timeout.C:
		return fmt.Errorf("%d requests did not stop within %s of being cut", f.running(), grace)
	}
}
