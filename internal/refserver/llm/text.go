package llm

import "strings"

// prose is what the simulator says, over and over. Words are separated by one
// space and need no escaping in JSON.
const prose = "the quick measure of a slow stream is not its mean but its tail, " +
	"for a reader waits on the word that comes late and forgets the many that came in time; " +
	"so we count from the instant at which the word was due and we say how far we may err. "

// teller deals out the prose word by word. A token is one word.
type teller struct {
	at   int  // offset into prose
	said bool // a word went before, so a space is due
}

// append appends the next n words to b. Every word but the response's first
// has its space before it, as tokens of a language model have.
func (t *teller) append(b []byte, n int) []byte {
	for range n {
		if t.said {
			b = append(b, ' ')
		}
		t.said = true
		length := strings.IndexByte(prose[t.at:], ' ')
		b = append(b, prose[t.at:t.at+length]...)
		t.at = (t.at + length + 1) % len(prose)
	}
	return b
}
