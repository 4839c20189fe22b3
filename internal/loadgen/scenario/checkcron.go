package scenario

import (
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/crontab"
)

// mostMissed is the longest that an instant waits for its call by default.
const mostMissed = 30 * time.Second

// Parse reads the job's schedule in its time zone.
func (j *CronJob) Parse() (crontab.Schedule, error) {
	zone, err := j.zone()
	if err != nil {
		return crontab.Schedule{}, err
	}
	return crontab.Parse(j.Schedule, zone)
}

func (j *CronJob) zone() (*time.Location, error) {
	if j.Timezone == "Local" { // which would be another one elsewhere
		return nil, fmt.Errorf("%q: want a name such as Europe/Berlin", j.Timezone)
	}
	zone, err := time.LoadLocation(j.Timezone)
	if err != nil {
		return nil, fmt.Errorf("%q: want a name such as Europe/Berlin: %w", j.Timezone, err)
	}
	return zone, nil
}

// completeCron puts the defaults of a cron workload in.
func (c *checker) completeCron(at string, w *Workload) {
	j := w.Cron
	if j.Timezone == "" && !c.given(at+".timezone") {
		j.Timezone = "UTC"
	}
	if j.Anchor == "" && !c.given(at+".anchor") {
		j.Anchor = AnchorEpoch
	}
	schedule, err := j.Parse()
	if !c.given(at + ".missed") {
		j.Missed = Duration(mostMissed)
		if err == nil {
			j.Missed = Duration(min(mostMissed, schedule.ShortestGap()))
		}
	}
	if err == nil { // so many may wait for their call at once, and one between two others
		w.Load.MaxInFlight = int(time.Duration(j.Missed)/schedule.ShortestGap()) + 2
	}
	if !c.given("drain") {
		c.scenario.Drain = max(c.scenario.Drain, j.Missed+Duration(time.Second))
	}
	for key, r := range map[string]*Request{".register": j.Register, ".remove": j.Remove} {
		if r != nil {
			c.completeRequest(at+key, r)
		}
	}
}

// cron checks what only a cron workload has.
func (c *checker) cron(at string, w *Workload) {
	j, at := w.Cron, at+".cron"
	zone, zoneErr := j.zone()
	if c.good(at+".timezone") && zoneErr != nil {
		c.wrong(at+".timezone", "%s", zoneErr)
	}
	if c.good(at + ".schedule") {
		s, err := crontab.Parse(j.Schedule, zone)
		switch {
		case err != nil:
			c.wrong(at+".schedule", "%s", err)
		case j.Anchor == AnchorFirst && s.Seconds() == 0:
			c.wrong(at+".anchor", `goes only with a schedule such as "10 seconds": five fields say themselves which instants are meant`)
		}
	}
	c.positive(at+".missed", j.Missed > 0)
	if c.given(at+".scheduled") && !c.bad[at+".scheduled"] {
		c.scheduled(at+".scheduled", j.Scheduled)
	}
}

// scheduled checks where a call names its instant.
func (c *checker) scheduled(at string, named *Correlation) {
	c.correlation(at, named, &Data{}, false)
	if !c.given(at+".header") && !c.given(at+".query") && !c.given(at+".json") {
		c.wrongKey(at, "want one of header, query and json")
	}
	if c.given(at + ".id") {
		c.wrongKey(at+".id", "has no use here: what a call names is its instant")
	}
}

// cronTemplates checks the requests that make and remove a job, and tries their
// templates; the later sees what is extracted from the answer to the earlier.
func (c *checker) cronTemplates(at string, w *Workload, sample *Data) {
	if c.given(at + ".feed") {
		c.wrongKey(at+".feed", "has no use: a cron workload sends no request that would take a row")
	}
	if path := at + ".extract"; c.given(path) && !c.given(at+".cron.register") {
		c.wrongKey(path, "has no use without cron.register, whose answer the values are taken from")
	}
	if path := at + ".cron.register"; w.Cron.Register != nil && !c.bad[path] {
		c.request(path, w.Cron.Register, sample, true)
	}
	later := *sample
	later.Vars = sampleVars(w.Extract)
	if path := at + ".cron.remove"; w.Cron.Remove != nil && !c.bad[path] {
		c.request(path, w.Cron.Remove, &later, true)
	}
}
