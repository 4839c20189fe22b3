package scenario

import "time"

const (
	// defaultDeadline of a job, and the time between two questions about it.
	defaultDeadline = Duration(30 * time.Second)
	defaultEvery    = Duration(100 * time.Millisecond)
	// drainBeyond is how much longer than the deadline of its jobs a run drains, so
	// that the last of them are judged and not cut.
	drainBeyond = Duration(time.Second)
)

// completeJob puts a job's defaults in. A drain that the file leaves open lasts until
// the job's deadline.
func (c *checker) completeJob(at string, j *Job) {
	if j.Callback == nil && !c.given(at+".callback") && !c.given(at+".poll") {
		j.Callback = &Correlation{}
	}
	if !c.given(at + ".deadline") {
		j.Deadline = defaultDeadline
	}
	if p := j.Poll; p != nil {
		if !c.given(at + ".poll.every") {
			p.Every = defaultEvery
		}
		c.completeRequest(at+".poll.request", &p.Request)
	}
	if !c.given("drain") {
		c.scenario.Drain = max(c.scenario.Drain, min(j.Deadline+drainBeyond, Duration(maxDuration)))
	}
}

// job checks how a background workload learns of its jobs.
func (c *checker) job(at string, j *Job) {
	callback, poll := at+".callback", at+".poll"
	if c.given(callback) && c.given(poll) {
		c.wrongKey(poll, "goes in place of callback; leave one of them out")
	}
	c.positive(at+".deadline", j.Deadline > 0)
	if deadline := at + ".deadline"; c.good("drain") && c.scenario.Drain < j.Deadline && !c.bad[deadline] {
		c.wrong("drain", "is shorter than the deadline of %s, %s: the last jobs would be cut; leave it out, or give at least that", at, j.Deadline)
	}
	asked := &Workload{}
	if p := j.Poll; p != nil && !c.bad[poll] {
		asked.Request = &p.Request
		c.positive(poll+".every", p.Every > 0)
		if done := poll + ".done"; !c.bad[done] {
			if !c.given(done) {
				c.wrong(done, "this key is required: what the answer is once the job is done")
			} else {
				c.answerCheck(done, asked, &p.Done)
			}
		}
	}
	if failed := at + ".failed"; j.Failed != nil && !c.bad[failed] {
		c.answerCheck(failed, asked, j.Failed)
		if c.given(failed+".status") && !c.given(poll) {
			c.wrongKey(failed+".status", "a call has no status; look at its header or body")
		}
	}
}

// jobTemplates tries the templates that are run behind the answer.
func (c *checker) jobTemplates(at string, w *Workload, sample *Data, runnable bool) {
	if w.Job == nil || c.bad[at] {
		return
	}
	later := *sample
	later.Vars = sampleVars(w.Extract)
	c.correlation(at+".callback", w.Job.Callback, &later, runnable)
	if p := w.Job.Poll; p != nil && !c.bad[at+".poll"] && !c.bad[at+".poll.request"] {
		c.request(at+".poll.request", &p.Request, &later, runnable)
	}
}
