package relay

// queue is the messages that wait for one peer. It takes no memory while it is
// empty and new, and grows with what waits.
type queue struct {
	ring   []*message
	head   int // index of the oldest
	length int
	bytes  int // of their payloads
}

// push adds a message. The caller has made sure that the queue holds fewer than
// most.
func (q *queue) push(m *message, most int) {
	if q.length == len(q.ring) {
		grown := make([]*message, min(max(4, 2*len(q.ring)), most))
		n := copy(grown, q.ring[q.head:])
		copy(grown[n:], q.ring[:q.head])
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.length)%len(q.ring)] = m
	q.length++
	q.bytes += m.size
}

// pop takes the oldest message of a queue that is not empty.
func (q *queue) pop() *message {
	m := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.length--
	q.bytes -= m.size
	return m
}

// clear empties the queue and returns how many messages it held.
func (q *queue) clear() int {
	n := q.length
	*q = queue{}
	return n
}
