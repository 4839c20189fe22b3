package cron

import "time"

// backlog is the runs of a job that are due and have not begun, in order. However
// many a minute job gains while one of its runs lasts, those that follow each other
// by its schedule are kept as the first of them and their number.
type backlog struct {
	stretches []stretch
	count     int
	popped    int
}

// stretch is n instants of a schedule that follow each other.
type stretch struct {
	schedule    Schedule
	first, last time.Time
	n           int
}

// push adds an instant at which the schedule has fired, and returns what popped will
// be when it has been taken.
func (b *backlog) push(schedule Schedule, at time.Time) (place int) {
	b.count++
	place = b.popped + b.count
	if len(b.stretches) > 0 {
		s := &b.stretches[len(b.stretches)-1]
		if s.schedule == schedule && s.schedule.Next(s.last).Equal(at) {
			s.last = at
			s.n++
			return place
		}
	}
	b.stretches = append(b.stretches, stretch{schedule: schedule, first: at, last: at, n: 1})
	return place
}

// oldest is the instant that pop would return.
func (b *backlog) oldest() time.Time { return b.stretches[0].first }

// pop takes the oldest instant. There must be one.
func (b *backlog) pop() time.Time {
	b.count--
	b.popped++
	s := &b.stretches[0]
	at := s.first
	if s.n--; s.n == 0 {
		b.stretches = b.stretches[1:]
		return at
	}
	s.first = s.schedule.Next(at)
	return at
}
