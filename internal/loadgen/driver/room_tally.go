package driver

// A roomTally is what a room came to over the measured part, once everyone has left.
type roomTally struct {
	expected             int64 // counted by the publishers
	received             int64 // counted by the receivers as they came
	lost                 []loss
	published, failed    int64 // of the messages whose write failed half-way
	expectedMore         int64 // deliveries expected of those that got through all the same
	complete, incomplete int64
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
	lostUnexplained = "lost: unexplained"
)

// tally closes the books. A message whose write failed counts as published when
// somebody got it, otherwise as not published.
func (r *room) tally() roomTally {
	r.mu.Lock()
	defer r.mu.Unlock()
	var t roomTally
	deliverable := int64(0)
	for i, p := range r.publishers {
		to := p.reserved
		if p.doubtful {
			measured := p.measuredFrom < p.reserved
			switch through := r.anyoneHas(i, p.reserved-1); {
			case !through:
				to--
				t.failed += count(measured)
			case measured:
				t.published++
				t.expectedMore += int64(p.doubtfulExpected)
				deliverable += count(p.doubtfulExpected > 0)
			}
		}
		t.expected += p.expected
		deliverable += p.deliverable
		for _, m := range r.members {
			if m != p.member && m.tracks != nil {
				inner, tail := m.tracks[i].missing(p.measuredFrom, to)
				t.lose(m, p.member, inner, tail)
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

// anyoneHas reports whether somebody got message seq of publisher i.
func (r *room) anyoneHas(i int, seq int64) bool {
	for _, m := range r.members {
		if m.tracks != nil && m.tracks[i].has(seq) {
			return true
		}
	}
	return false
}

// lose attributes what m lacks of p. What a relay holds when a connection ends
// is the tail of its numbers; gaps further down it made while all was well.
func (t *roomTally) lose(m, p *member, inner, tail int64) {
	why := lostUnexplained
	switch {
	case m.stalled:
		why = lostStalled
	case m.lostBy != "":
		why = "lost: " + m.lostBy
	case p.lostBy != "":
		why = "lost: publisher's " + p.lostBy
	}
	if m.stalled {
		inner, tail = 0, inner+tail
	}
	if inner > 0 {
		t.lost = append(t.lost, loss{receiver: m, publisher: p, messages: inner, why: lostUnexplained})
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
