package functions

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/edgeload/edgeload/internal/refserver/cron"
	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/wire"
)

// CronCaller calls functions for cron, as the guide's net.http_post does: by POST,
// with the service role's token, and with the headers that say which run it is and
// for which instant. It implements cron.Caller, and may be used concurrently.
type CronCaller struct {
	outbound *Outbound
	base     *url.URL
	token    string
}

var _ cron.Caller = (*CronCaller)(nil)

// NewCronCaller returns a caller of the functions of the server at base, an http or
// https URL that outbound's allow-list lets pass. token is sent as a bearer's; empty:
// none is.
func NewCronCaller(outbound *Outbound, base *url.URL, token string) *CronCaller {
	return &CronCaller{outbound: outbound, base: base, token: token}
}

// Call posts one run. A redirect is not followed: the token is not for others.
func (c *CronCaller) Call(ctx context.Context, run cron.Call) (status int, err error) {
	if run.Function == "" || strings.Trim(run.Function, ".") == "" || strings.ContainsAny(run.Function, `/\?#`) {
		return 0, fmt.Errorf("call function %q: %w: it is no name", run.Function, ErrNotAllowed)
	}
	header := http.Header{
		"Content-Type":           {"application/json"},
		wire.HeaderCronJob:       {headerValue(run.Job)},
		wire.HeaderCronRun:       {strconv.FormatInt(run.RunID, 10)},
		wire.HeaderCronScheduled: {run.Scheduled.UTC().Format(time.RFC3339Nano)},
	}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	body := run.Body
	if len(body) == 0 {
		body = []byte("{}")
	}
	reply, err := c.outbound.Do(ctx, Call{
		Method: http.MethodPost, URL: c.base.JoinPath(edge.PathFunctions, run.Function), Header: header, Body: body,
	})
	return reply.Status, err
}

// headerValue is a name as a header can carry it: a job made in SQL may have one that
// no header takes, which goes percent-encoded.
func headerValue(name string) string {
	if strings.ContainsFunc(name, unicode.IsControl) {
		return url.PathEscape(name)
	}
	return name
}
