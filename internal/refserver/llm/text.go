package llm

import "strings"

// prose is what the simulator says, over and over. Words are separated by one
// space and need no escaping in JSON.
const prose = "the quick measure of a slow stream is not its mean but its tail, " +
	"for a reader waits on the word that comes late and forgets the many that came in time; " +
	"so we count from the instant at which the word was due and we say how far we may err. "

// accented is what it says in pieces: each word has a character of several bytes
// in UTF-8, within which a write can be cut.
const accented = "à l’été, où naïf façonné élève hâtif, traîné là, même très âgé déjà, rêvé: ça coûte 5€, 電気 流れ 🙂 "

// teller deals out a text word by word. A token is one word.
type teller struct {
	text string // words, each with one space after it
	at   int    // offset into text
	said bool   // a word went before, so a space is due
}

// append appends the next n words to b. Every word but the answer's first has its
// space before it, as tokens of a language model have.
func (t *teller) append(b []byte, n int) []byte {
	for range n {
		if t.said {
			b = append(b, ' ')
		}
		t.said = true
		length := strings.IndexByte(t.text[t.at:], ' ')
		b = append(b, t.text[t.at:t.at+length]...)
		t.at = (t.at + length + 1) % len(t.text)
	}
	return b
}
