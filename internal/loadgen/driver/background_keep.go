package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/scenario"
)

// keepEvery is how often jobs are looked at whose deadline may have passed.
const keepEvery = 25 * time.Millisecond

// keep gives up jobs when their deadline has passed, by settle: so that one whose
// completion has come in time and is still on its way within this process is not lost.
func (d *background) keep(ctx context.Context) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	stopping := d.run.Stopping
	for {
		select {
		case <-ctx.Done():
			return
		case <-stopping:
			stopping = nil
			if whole := d.whole.Load(); whole != nil {
				whole.Add(backgroundPendingAtEnd, d.jobs.pending.Load())
			}
		case <-ticker.C:
			before := d.run.Clock.Now() - d.deadline - settle
			d.jobs.giveUp(fateLost, func(j *job) (take, goOn bool) {
				lost := j.ack.at < before
				return lost, lost
			}, func(j *job) {
				d.lose(j)
				d.close(j, &d.books.lost, false)
			})
		}
	}
}

// watch gives up the jobs whose arrivals ctx was for, when it ends. There are few
// contexts in a run.
func (d *background) watch(ctx context.Context) {
	if _, known := d.watched.Load(ctx); !known {
		d.cutting.Add(1)
		leave := context.AfterFunc(ctx, func() {
			defer d.cutting.Done()
			d.cut(ctx)
		})
		if _, twice := d.watched.LoadOrStore(ctx, leave); twice && leave() {
			d.cutting.Done()
		}
	}
	if ctx.Err() != nil { // those that were watching may have cut already
		d.cut(ctx)
	}
}

// leave ends the watching.
func (d *background) leave() {
	d.watched.Range(func(_, leave any) bool {
		if leave, ok := leave.(func() bool); ok && leave() {
			d.cutting.Done()
		}
		return true
	})
	d.cutting.Wait()
}

// cut gives up the jobs whose arrivals ctx was for.
func (d *background) cut(ctx context.Context) {
	d.jobs.giveUp(fateCut, func(j *job) (take, goOn bool) { return j.ack.ctx == ctx, true }, func(j *job) {
		j.rec.Add(backgroundUnfinished, 1)
		j.rec.Error(classUnfinished, fmt.Sprintf("job %s: pending at the end of the drain", scenario.ArrivalID(d.mark, j.arrival.Seq)))
		d.close(j, &d.books.unfinished, false)
	})
}
