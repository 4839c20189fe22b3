package functions

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/refserver/truth"
	"github.com/edgeload/edgeload/internal/wire"
)

// userCount is a Users; below zero it fails.
type userCount int64

func (n userCount) Users(context.Context) (int64, error) {
	if n < 0 {
		return 0, errors.New("no such table")
	}
	return int64(n), nil
}

func serveDigest(t testing.TB, users Users, limits edge.Limits) (url string, ledger *truth.Ledger) {
	ledger = truth.New(0)
	out := newTestOutbound(t, OutboundOptions{})
	fn := MorningDigest(users, out, ledger, slog.New(slog.DiscardHandler))
	return serveFunctions(t, edge.Options{Functions: []edge.Function{edge.Shared(NameMorningDigest, fn)}, Limits: limits}) + NameMorningDigest, ledger
}

func TestDigestSaysWhenItWasCalled(t *testing.T) {
	url, ledger := serveDigest(t, userCount(3), edge.Limits{})
	const due = "2026-11-23T09:00:00.25Z"
	before := time.Now()
	resp, body := postJSON(t, url, `{}`, wire.HeaderCronJob, "morning", wire.HeaderCronRun, "17", wire.HeaderCronScheduled, due)
	if resp.StatusCode != 200 || string(body) != `{"sent":3}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	all := records(t, ledger, truth.Cron)
	if len(all) != 2 || all[0].Event != "received" || all[1].Event != "answered" || all[1].Detail != "200" {
		t.Fatalf("ground truth has %+v", all)
	}
	for _, r := range all {
		if r.Name != "morning" || r.ID != "17" || r.Due.Format(time.RFC3339Nano) != due || r.At.Before(before.Add(-time.Second)) || r.At.After(time.Now()) {
			t.Errorf("ground truth has %+v", r)
		}
	}
	// By hand, without a body.
	if resp, body := postJSON(t, url, ``); resp.StatusCode != 200 || string(body) != `{"sent":3}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if all = records(t, ledger, truth.Cron); len(all) != 4 || all[2].Name != NameMorningDigest || all[2].ID != "" || !all[2].Due.IsZero() {
		t.Errorf("ground truth has %+v", all)
	}
}

func TestDigestOnPurpose(t *testing.T) {
	url, ledger := serveDigest(t, userCount(0), edge.Limits{})
	for _, tc := range []struct {
		body   string
		status int
		code   string
		want   string
	}{
		{`{"status": 202}`, 202, "", `{"sent":0}`},
		{`{"status": 404}`, 404, "", "as it was asked to"},
		{`{"status": 503}`, 503, edge.CodeFunctionError, "as it was asked to"},
		{`{"sleep": "150ms"}`, 200, "", `{"sent":0}`},
		{`{"status": 600}`, 400, "", "status 600"},
		{`{"status": 204}`, 400, "", "status 204"},
		{`{"sleep": "-1s"}`, 400, "", "sleep"},
		{`{"sleep": "2h"}`, 400, "", "sleep"},
		{`{"sleep": 5}`, 400, "", "250ms"},
		{`nonsense`, 400, "", "JSON"},
	} {
		begin := time.Now()
		resp, body := postJSON(t, url, tc.body)
		if resp.StatusCode != tc.status || resp.Header.Get(edge.HeaderErrorCode) != tc.code || !strings.Contains(string(body), tc.want) {
			t.Errorf("%s: %d %s %v", tc.body, resp.StatusCode, body, resp.Header)
		}
		if took := time.Since(begin); strings.Contains(tc.body, "150ms") && took < 150*time.Millisecond {
			t.Errorf("%s: answered after %s", tc.body, took)
		}
	}
	if resp, body := postJSON(t, url, ``, wire.HeaderCronScheduled, "nine o'clock"); resp.StatusCode != 400 || !strings.Contains(string(body), wire.HeaderCronScheduled) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if all := records(t, ledger, truth.Cron); len(all) != 8 || all[3].Detail != "404" {
		t.Errorf("ground truth has %+v", all)
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", resp.StatusCode)
	}
}

func TestDigestWithoutAStore(t *testing.T) {
	url, ledger := serveDigest(t, userCount(-1), edge.Limits{})
	resp, body := postJSON(t, url, `{}`)
	if resp.StatusCode != 500 || strings.Contains(string(body), "table") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if all := records(t, ledger, truth.Cron); len(all) != 2 || all[1].Detail != "500" {
		t.Errorf("ground truth has %+v", all)
	}
}

// TestDigestEndsWithItsWorker: a run that sleeps is cut at the wall clock.
func TestDigestEndsWithItsWorker(t *testing.T) {
	url, ledger := serveDigest(t, userCount(1), edge.Limits{WallClock: 100 * time.Millisecond})
	begin := time.Now()
	if resp, _ := postJSON(t, url, `{"sleep": "1h"}`); resp.StatusCode != 546 || time.Since(begin) > 5*time.Second {
		t.Errorf("%d after %s", resp.StatusCode, time.Since(begin))
	}
	if all := records(t, ledger, truth.Cron); len(all) != 2 || all[1].Detail != "cut" {
		t.Errorf("ground truth has %+v", all)
	}
}

// TestDigestRefusesHeaders that ground truth could not have as they are.
func TestDigestRefusesHeaders(t *testing.T) {
	url, ledger := serveDigest(t, userCount(1), edge.Limits{})
	longest := strings.Repeat("<", truth.MaxText)
	for _, tc := range []struct {
		name, value string
		status      int
	}{
		{wire.HeaderCronJob, strings.Repeat("<", 200_000), 400},
		{wire.HeaderCronJob, longest + "<", 400},
		{wire.HeaderCronJob, "\xff", 400},
		{wire.HeaderCronJob, longest, 200},
		{wire.HeaderCronJob, "утренний", 200},
		{wire.HeaderCronRun, longest + "<", 400},
		{wire.HeaderCronRun, "\xff", 400},
		{wire.HeaderCronRun, longest, 200},
		{wire.HeaderCronScheduled, "9999-12-31T23:59:59-23:00", 400}, // the year 10000 in UTC
		{wire.HeaderCronScheduled, "0000-01-01T00:00:00+23:00", 400},
		{wire.HeaderCronScheduled, "9999-12-31T23:59:59Z", 200},
	} {
		resp, body := postJSON(t, url, ``, tc.name, tc.value)
		if resp.StatusCode != tc.status || tc.status == 400 && !strings.Contains(string(body), tc.name) {
			t.Errorf("%s of %d bytes, %.40q: %d %s", tc.name, len(tc.value), tc.value, resp.StatusCode, body)
		}
	}
	if all := records(t, ledger, truth.Cron); len(all) != 2*4 || all[0].Name != longest || all[2].Name != "утренний" || all[4].ID != longest {
		t.Errorf("ground truth has %+v", all)
	}
}

// TestDigestBelievesTheServiceRole alone about who calls, where keys are asked for.
func TestDigestBelievesTheServiceRole(t *testing.T) {
	secret := []byte("a secret of at least thirty-two bytes")
	ledger := truth.New(0)
	url := serveFunctions(t, edge.Options{
		Functions: []edge.Function{edge.Shared(NameMorningDigest, MorningDigest(userCount(1), newTestOutbound(t, OutboundOptions{}), ledger, slog.New(slog.DiscardHandler)))},
		Auth:      &edge.Auth{Secret: secret, VerifyJWT: true},
	}) + NameMorningDigest
	for role, want := range map[edge.Role]string{
		edge.RoleService: "morning", edge.RoleAnon: NameMorningDigest, edge.RoleAuthenticated: NameMorningDigest,
	} {
		key, err := edge.MintKey(secret, role, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.Reset(); err != nil {
			t.Fatal(err)
		}
		resp, body := postJSON(t, url, `{}`, "Authorization", "Bearer "+key,
			wire.HeaderCronJob, "morning", wire.HeaderCronRun, "17", wire.HeaderCronScheduled, "2026-11-23T09:00:00Z")
		all := records(t, ledger, truth.Cron)
		if resp.StatusCode != 200 || len(all) != 2 {
			t.Fatalf("%s: %d %s, %+v", role, resp.StatusCode, body, all)
		}
		heeded := role == edge.RoleService
		if all[0].Name != want || (all[0].ID == "17") != heeded || all[0].Due.IsZero() == heeded {
			t.Errorf("%s: ground truth has %+v", role, all)
		}
	}
}

// TestDigestCallsBack whom it is told to, at once, and writes down what came of it.
func TestDigestCallsBack(t *testing.T) {
	type seen struct {
		header http.Header
		body   string
	}
	calls := make(chan seen, 1)
	status := http.StatusOK
	watcher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		calls <- seen{r.Header, string(body)}
		w.WriteHeader(status)
	}))
	defer watcher.Close()
	url, ledger := serveDigest(t, userCount(3), edge.Limits{})
	const due = "2026-11-23T09:00:00.25Z"
	request := `{"callback_url": "` + watcher.URL + `/w/1"}`
	resp, body := postJSON(t, url, request, wire.HeaderCronJob, "morning", wire.HeaderCronRun, "17", wire.HeaderCronScheduled, due)
	if resp.StatusCode != 200 || string(body) != `{"sent":3}` {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	got := <-calls
	var report struct {
		Job, Run    string
		ScheduledAt time.Time `json:"scheduled_at"`
		ReceivedAt  time.Time `json:"received_at"`
	}
	if err := json.Unmarshal([]byte(got.body), &report); err != nil {
		t.Fatal(err)
	}
	all := records(t, ledger, truth.Cron)
	if len(all) != 3 || all[1].Event != "callback_sent" || all[1].Detail != "200" || all[1].At.Before(all[0].At) || all[2].At.Before(all[1].At) {
		t.Fatalf("ground truth has %+v", all)
	}
	if report.Job != "morning" || report.Run != "17" || report.ScheduledAt.Format(time.RFC3339Nano) != due || !report.ReceivedAt.Equal(all[0].At) ||
		got.header.Get(wire.HeaderCronJob) != "morning" || got.header.Get(wire.HeaderCronRun) != "17" || got.header.Get(wire.HeaderCronScheduled) != due {
		t.Errorf("called back with %+v", got)
	}

	// By hand, and whom it calls does not want it: the digest is made all the same.
	status = http.StatusGone
	if resp, _ := postJSON(t, url, request); resp.StatusCode != 200 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	if got := <-calls; got.header.Get(wire.HeaderCronScheduled) != "" || strings.Contains(got.body, "scheduled_at") {
		t.Errorf("called back with %+v", got)
	}
	if all = records(t, ledger, truth.Cron); len(all) != 6 || all[4].Event != "callback_failed" || all[4].Detail != "410" {
		t.Errorf("ground truth has %+v", all)
	}
	for _, forbidden := range []string{"http://192.0.2.1/", "ftp://localhost/", "nonsense"} {
		if resp, body := postJSON(t, url, `{"callback_url": "`+forbidden+`"}`); resp.StatusCode != 400 || !strings.Contains(string(body), "callback_url") {
			t.Errorf("%s: %d %s", forbidden, resp.StatusCode, body)
		}
	}
	watcher.Close()
	if resp, _ := postJSON(t, url, request); resp.StatusCode != 200 {
		t.Errorf("answered %d", resp.StatusCode)
	}
	if all = records(t, ledger, truth.Cron); len(all) != 9 || all[7].Event != "callback_failed" || !strings.Contains(all[7].Detail, "refused") {
		t.Errorf("ground truth has %+v", all)
	}
}
