package driver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

// jobShards is how many parts the table of jobs has, each with a lock of its own.
const jobShards = 64

// A jobTable holds the jobs of the arrivals under way, which load.max_in_flight bounds,
// and of every arrival that there was one byte: what became of its job. Any number of
// goroutines may use it at once; each method locks a part of it, briefly.
type jobTable struct {
	pending atomic.Int64 // acknowledged, and neither done nor given up
	shards  [jobShards]jobShard
	unused  sync.Pool // of *job
}

type jobShard struct {
	mu    sync.Mutex
	live  map[uint64]*job // by sequence number
	fates []fate          // by sequence number ÷ jobShards
	// waiting is the head of a ring of the acknowledged ones, in the order of their
	// acknowledgements.
	waiting job
}

// A fate is what has become of an arrival's job.
type fate uint8

const (
	fateNone    fate = iota // there was no such arrival
	fateLive                // it is in the table
	fateHeard               // it has ended, and was heard of
	fateLost                // given up at its deadline
	fateCut                 // given up at the drain's end
	fateRefused             // was not acknowledged

	fateMeasured fate = 1 << 7 // set beside: not of the warm-up
)

// A job is the work that a request leaves behind, from before it is sent. It is used
// again.
type job struct {
	arrival engine.Arrival
	rec     *engine.Recorder
	pending int64 // jobs, when its request began
	ack     acknowledgement
	known   bool // heard is set
	heard   hearing

	// asked is when the last question was sent that was answered with "not yet".
	asked     time.Duration
	questions int

	next, previous *job // in waiting; nil where it is not there
}

// An acknowledgement is the answer that promised a job.
type acknowledgement struct {
	first, at time.Duration // its first and last byte
	ctx       context.Context
	vars      map[string]string
	over      func(done bool)
}

// A hearing is what was heard of a job.
type hearing struct {
	at      time.Duration
	failed  bool
	example string // where it failed
	polled  bool
	// resolution is how much earlier than at it may have been, where polled, and
	// questions is how many were asked.
	resolution time.Duration
	questions  int
}

func (t *jobTable) open() {
	for i := range t.shards {
		s := &t.shards[i]
		s.live = make(map[uint64]*job)
		s.waiting.next, s.waiting.previous = &s.waiting, &s.waiting
	}
}

func (t *jobTable) shard(seq uint64) *jobShard { return &t.shards[seq%jobShards] }

// add takes the job of an arrival in, before its request is sent.
func (t *jobTable) add(a engine.Arrival, rec *engine.Recorder, pending int64, measured bool) {
	j, ok := t.unused.Get().(*job)
	if !ok {
		j = &job{}
	}
	*j = job{arrival: a, rec: rec, pending: pending}
	s := t.shard(a.Seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := a.Seq / jobShards; uint64(len(s.fates)) <= at; {
		s.fates = append(s.fates, fateNone)
	}
	s.live[a.Seq] = j
	f := fateLive
	if measured {
		f |= fateMeasured
	}
	s.fates[a.Seq/jobShards] = f
}

// release lets a job be used again.
func (t *jobTable) release(j *job) {
	*j = job{}
	t.unused.Put(j)
}

// refuse ends the job of a request that was not acknowledged. It reports whether the
// job is known to have been done.
func (t *jobTable) refuse(seq uint64) (done bool) {
	s := t.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.live[seq]
	done = j.known && !j.heard.failed
	became := fateRefused
	if j.known {
		became = fateHeard
	}
	s.take(j, became)
	t.release(j)
	return done
}

// acknowledge notes the answer that promised the job, before whose request so many
// others were pending. Where it was heard of before, j is the caller's; else nil.
func (t *jobTable) acknowledge(seq uint64, ack acknowledgement) (j *job, pending int64) {
	s := t.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	j = s.live[seq]
	j.ack = ack
	if j.known {
		s.take(j, fateHeard)
		return j, j.pending
	}
	t.pending.Add(1)
	last := s.waiting.previous
	j.previous, j.next = last, &s.waiting
	last.next, s.waiting.previous = j, j
	return nil, j.pending
}

// A notice is what a hearing was to a job.
type notice int

const (
	noticeStranger       notice = iota // there was no such arrival
	noticeEarly                        // the first, and its request is not answered yet
	noticeEnds                         // the first: it ends the job
	noticeUnacknowledged               // the first, of a job that was not acknowledged
	noticeLate                         // the first, of a job that was lost
	noticeCut                          // the first, of a job that was cut
	noticeAgain                        // not the first
)

// hear notes what was heard of the job of seq. Where that ends it, j is the caller's.
func (t *jobTable) hear(seq uint64, h hearing) (n notice, measured bool, j *job) {
	s := t.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq/jobShards >= uint64(len(s.fates)) {
		return noticeStranger, false, nil
	}
	at := &s.fates[seq/jobShards]
	measured = *at&fateMeasured != 0
	switch *at &^ fateMeasured {
	case fateNone:
		return noticeStranger, false, nil
	case fateHeard:
		return noticeAgain, measured, nil
	case fateLive:
		j = s.live[seq]
		switch {
		case j.next != nil:
			t.pending.Add(-1)
			s.take(j, fateHeard)
			return noticeEnds, measured, j
		case j.known:
			return noticeAgain, measured, nil
		}
		j.known, j.heard = true, h
		return noticeEarly, measured, nil
	case fateRefused:
		n = noticeUnacknowledged
	case fateLost:
		n = noticeLate
	default:
		n = noticeCut
	}
	*at = fateHeard | *at&fateMeasured
	return n, measured, nil
}

// take takes j out of the table.
func (s *jobShard) take(j *job, became fate) {
	delete(s.live, j.arrival.Seq)
	at := &s.fates[j.arrival.Seq/jobShards]
	*at = became | *at&fateMeasured
	if j.next != nil {
		j.previous.next, j.next.previous = j.next, j.previous
		j.next, j.previous = nil, nil
	}
}

// giveUp takes the acknowledged jobs out that which says so of, from the oldest to the
// first that goOn does not say so of, and has end end each.
func (t *jobTable) giveUp(became fate, which func(j *job) (take, goOn bool), end func(j *job)) {
	for i := range t.shards {
		s := &t.shards[i]
		var taken *job
		s.mu.Lock()
		for j, goOn := s.waiting.next, true; goOn && j != &s.waiting; {
			next := j.next
			var take bool
			if take, goOn = which(j); take {
				t.pending.Add(-1)
				s.take(j, became)
				j.next, taken = taken, j
			}
			j = next
		}
		s.mu.Unlock()
		for taken != nil {
			j := taken
			taken, j.next = j.next, nil
			end(j)
		}
	}
}

// asking prepares a question about the job of seq; false where it waits no more.
func (t *jobTable) asking(seq uint64) (a engine.Arrival, vars map[string]string, rec *engine.Recorder, ok bool) {
	s := t.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.live[seq]
	if j == nil || j.next == nil {
		return engine.Arrival{}, nil, nil, false
	}
	j.questions++
	return j.arrival, j.ack.vars, j.rec, true
}

// asked is when the last question about the job of seq was sent that was answered with
// "not yet", and else its acknowledgement; and how many questions there were. rec is nil
// where the job has ended.
func (t *jobTable) asked(seq uint64) (since time.Duration, questions int, rec *engine.Recorder) {
	s := t.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.live[seq]
	switch {
	case j == nil:
		return 0, 0, nil
	case j.asked == 0:
		return j.ack.at, j.questions, j.rec
	}
	return j.asked, j.questions, j.rec
}

// notYet notes that a question sent at that instant was answered so.
func (t *jobTable) notYet(seq uint64, sent time.Duration) {
	s := t.shard(seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.live[seq]; j != nil {
		j.asked = sent
	}
}
