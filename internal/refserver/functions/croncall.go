package functions

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgeload/edgeload/internal/refserver/cron"
	"github.com/edgeload/edgeload/internal/refserver/edge"
	"github.com/edgeload/edgeload/internal/wire"
)

// CronCaller posts the runs of cron jobs to functions, as the guide's job does with
// net.http_post: JSON, with the service_role key where there is one, and with the
// job, the run and its scheduled instant in headers (wire.HeaderCronJob and so on).
// A redirect is an answer like any other.
type CronCaller struct {
	Outbound *Outbound
	Base     *url.URL // of the server that serves the functions
	Key      string   // empty: none
}

var _ cron.Caller = CronCaller{}

// Call makes one run's call.
func (c CronCaller) Call(ctx context.Context, run cron.Call) (status int, err error) {
	header := http.Header{
		"Content-Type":           {"application/json"},
		wire.HeaderCronJob:       {run.Job},
		wire.HeaderCronRun:       {strconv.FormatInt(run.RunID, 10)},
		wire.HeaderCronScheduled: {run.Scheduled.UTC().Format(time.RFC3339Nano)},
	}
	if c.Key != "" {
		header.Set("Authorization", "Bearer "+c.Key)
	}
	body := run.Body
	if len(body) == 0 {
		body = []byte("{}")
	}
	reply, err := c.Outbound.Do(ctx, Call{
		Method: http.MethodPost, URL: c.Base.JoinPath(edge.PathFunctions, run.Function), Header: header, Body: body,
	})
	return reply.Status, err
}
