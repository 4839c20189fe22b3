package functions

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/cron"
	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/truth"
)

func TestCronCallsTheDigest(t *testing.T) {
	at, ledger := serveDigest(t, userCount(2), edge.Limits{})
	base := strings.TrimSuffix(at, edge.PathFunctions+NameMorningDigest)
	caller := NewCronCaller(newTestOutbound(t, OutboundOptions{}), mustURL(t, base), "")
	due := time.Date(2026, 11, 23, 9, 0, 0, 0, time.FixedZone("", 3600))
	status, err := caller.Call(t.Context(), cron.Call{Job: "morning", RunID: 7, Function: NameMorningDigest, Scheduled: due})
	if err != nil || status != 200 {
		t.Errorf("%d, %v", status, err)
	}
	if all := records(t, ledger, truth.Cron); len(all) != 2 || all[0].Name != "morning" || all[0].ID != "7" || !all[0].Due.Equal(due) {
		t.Errorf("ground truth has %+v", all)
	}
	status, err = caller.Call(t.Context(), cron.Call{Job: "morning", RunID: 8, Function: NameMorningDigest, Scheduled: due, Body: []byte(`{"status": 503}`)})
	if err != nil || status != 503 {
		t.Errorf("%d, %v", status, err)
	}
}

func TestCronCallerKeepsItsToken(t *testing.T) {
	var path, token, body string
	server := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		path, token, body = r.URL.Path, r.Header.Get("Authorization"), string(b)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	caller := NewCronCaller(newTestOutbound(t, OutboundOptions{}), mustURL(t, server.URL), "sesame")
	if status, err := caller.Call(t.Context(), cron.Call{Function: "f"}); status != 307 || err != nil || path != "/functions/v1/f" || token != "Bearer sesame" || body != "{}" {
		t.Errorf("%d, %v: %s %s %s", status, err, path, token, body)
	}
	path = ""
	for _, name := range []string{"", ".", "..", "../../admin/v1/truth", `..\x`, "a?b", "a#b", "a/b"} {
		if _, err := caller.Call(t.Context(), cron.Call{Function: name}); !errors.Is(err, ErrNotAllowed) || path != "" {
			t.Errorf("function %q: %v, and reached %s", name, err, path)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status, err := caller.Call(ctx, cron.Call{Function: "f"}); status != 0 || !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "sesame") {
		t.Errorf("%d, %v", status, err)
	}
	far := NewCronCaller(newTestOutbound(t, OutboundOptions{}), mustURL(t, "http://10.0.0.1"), "sesame")
	if _, err := far.Call(t.Context(), cron.Call{Function: "f"}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("%v", err)
	}
}
