package driver

// A roomTally is what a room came to over the measured part, once everyone has left.
type roomTally struct {
	expected             int64 // counted by the publishers
	received             int64 // counted by the receivers as they came
	lost                 []loss
	published, failed    int64 // of the messages whose write failed half-way
	expectedMore         int64 // deliveries expected of those that got through all the same
	slowMore             int64 // of these, to members that read slowly
	complete, incomplete int64
	stormMissed          int64 // by members whose connection the storm cut, until they had settled again
}

// A loss is messages that one receiver should have had of one publisher.
type loss struct {
	receiver, publisher *member
	messages            int64
	why                 string
}

// Reasons of a loss; where a connection ended, how it did stands instead.
const (
	lostStalled     = "lost: member never reads (scenario)"
	lostSlow        = "lost: member reads slowly (scenario)"
	lostUnexplained = "lost: unexplained"
)

// cutByStorm is how the storm ends a connection.
const cutByStorm = "cut by the storm (scenario)"

// tally closes the books. A message whose write failed counts as published when
// somebody got it, otherwise as not published.
func (r *room) tally() roomTally {
	r.mu.Lock()
	defer r.mu.Unlock()
	var t roomTally
	deliverable := int64(0)
	for i, p := range r.publishers {
		voids := r.settleDoubts(&t, i, p, &deliverable)
		t.expected += p.expected
		deliverable += p.deliverable
		for _, m := range r.members {
			if m != p.member && m.tracks != nil {
				r.missing(&t, m, i, voids)
			}
		}
	}
	for _, m := range r.members {
		t.received += m.received
	}
	t.expected += t.expectedMore
	t.complete = r.messagesComplete.Load()
	t.incomplete = deliverable - t.complete
	return t
}

// settleDoubts decides what became of the writes of publisher i that failed, and
// returns the numbers of those that nobody got.
func (r *room) settleDoubts(t *roomTally, i int, p *publisher, deliverable *int64) (voids []int64) {
	for _, d := range p.doubts {
		measured := p.measuredFrom <= d.seq
		if !r.anyoneHas(i, d.seq) {
			voids = append(voids, d.seq)
			t.failed += count(measured)
			continue
		}
		if measured {
			t.published++
			t.expectedMore += int64(d.expected)
			t.slowMore += int64(d.expected - d.prompt)
			*deliverable += count(d.prompt > 0)
		}
	}
	return voids
}

// missing adds up what m lacks of publisher i, stay by stay.
func (r *room) missing(t *roomTally, m *member, i int, voids []int64) {
	track, p := &m.tracks[i], r.publishers[i]
	one := func(s span, lostBy string) {
		inner, tail := track.missing(s, p.measuredFrom, p.reserved)
		for _, seq := range voids {
			switch {
			case seq < max(s.base, p.measuredFrom) || seq >= s.end:
			case seq > s.highest:
				tail--
			default:
				inner--
			}
		}
		t.lose(m, p.member, inner, tail, lostBy)
	}
	latest := track.span()
	if m.habits != nil {
		for n, stay := range m.habits.stays {
			one(stay.spans[i], stay.lostBy)
			if stay.cut {
				next := latest
				if n+1 < len(m.habits.stays) {
					next = m.habits.stays[n+1].spans[i]
				}
				t.missInStorm(track, p, stay.spans[i].end, next.base, voids)
			}
		}
		if m.habits.struck && !m.habits.back {
			t.missInStorm(track, p, latest.end, unset, voids)
		}
	}
	one(latest, m.lostBy)
}

// missInStorm counts what was sent from one number to another and did not come.
func (t *roomTally) missInStorm(track *track, p *publisher, from, to int64, voids []int64) {
	from, to = max(from, p.measuredFrom), min(to, p.reserved)
	t.stormMissed += track.gaps(from, to)
	for _, seq := range voids {
		t.stormMissed -= count(from <= seq && seq < to)
	}
}

// anyoneHas reports whether somebody got message seq of publisher i.
func (r *room) anyoneHas(i int, seq int64) bool {
	for _, m := range r.members {
		if m.tracks != nil && m.tracks[i].has(seq) {
			return true
		}
	}
	return false
}

// lose attributes what m lacks of p in one of its stays. What a relay holds when a
// connection ends is the tail of its numbers; gaps further down it made while all
// was well. A member that reads slowly, or never, may be skipped anywhere.
func (t *roomTally) lose(m, p *member, inner, tail int64, lostBy string) {
	why := lostUnexplained
	switch {
	case m.stalled:
		why = lostStalled
	case lostBy != "":
		why = "lost: " + lostBy
	case m.slow:
		why = lostSlow
	case p.lostBy != "":
		why = "lost: publisher's " + p.lostBy
	}
	innerWhy := lostUnexplained
	switch {
	case m.stalled:
		inner, tail = 0, inner+tail
	case m.slow:
		innerWhy = lostSlow
	}
	if inner > 0 {
		t.lost = append(t.lost, loss{receiver: m, publisher: p, messages: inner, why: innerWhy})
	}
	if tail > 0 {
		t.lost = append(t.lost, loss{receiver: m, publisher: p, messages: tail, why: why})
	}
}

// count is 1 for true.
func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
