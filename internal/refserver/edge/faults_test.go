package edge

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func fault(t *testing.T, s *Server, on bool) {
	t.Helper()
	if err := s.SetBootFault("f", on); err != nil {
		t.Fatal(err)
	}
}

// The boot fault meets a worker that boots already, and leaves no trace in one that
// boots after it was switched off.
func TestBootFaultDuringABoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ledger := one(t, Options{}, func(*Worker) (http.Handler, error) {
			time.Sleep(2 * time.Second)
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nil
		})
		var got [2]int
		var wg sync.WaitGroup
		wg.Go(func() { got[0] = call(s, "f").Code })
		time.Sleep(time.Second)
		fault(t, s, true)
		wg.Wait()
		fault(t, s, false)
		wg.Go(func() { got[1] = call(s, "f").Code })
		time.Sleep(time.Second)
		fault(t, s, true)
		fault(t, s, false)
		wg.Wait()
		if st := s.Stats()[0]; got != [2]int{503, 200} || st.BootFailed != 1 || st.Booted != 1 || st.EarlyDropped != 0 {
			t.Errorf("%v, %+v, %v", got, st, events(ledger))
		}
	})
}
