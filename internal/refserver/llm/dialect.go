package llm

import "time"

// dialect is one API's form: how a request reads and how events, messages and
// errors are written. It knows nothing of time.
type dialect interface {
	// read checks the body of a request.
	read(body []byte) (*request, *apiError)
	// idHeader is the header that carries the number of a request.
	idHeader() string
	// errorBody is the answer with an error status.
	errorBody(e *apiError, requestID string) []byte

	// begin is what a stream sends before its first token is due.
	begin(h *head) [][]byte
	// around is what stands before and after the text of a chunk. The first chunk
	// of a stream may have to say more than the others.
	around(h *head, reasoning, first bool) (prefix, suffix string)
	// turn is what comes between reasoning and text.
	turn(h *head) [][]byte
	// end is what comes after the last token.
	end(h *head, sent usage, capped bool) [][]byte
	// ping keeps a silent stream alive.
	ping() []byte
	// malformed is an event whose data is broken JSON.
	malformed(h *head) []byte
	// failure is the event that says that the answer failed; kind may be empty.
	failure(kind string) []byte
	// whole is the answer to a request that asked for no stream.
	whole(h *head, reasoning, text string, sent usage, capped bool) []byte
}

// head is what the events of one answer have in common.
type head struct {
	id           string
	model        string
	created      time.Time
	inputTokens  int
	includeUsage bool // OpenAI: a stream tells its usage
	reasoning    bool // reasoning comes before the text
	roleOnly     roleOnly
}

// roleOnly says whether the first chunk carries nothing but a role.
type roleOnly int

const (
	roleOnlyDefault roleOnly = iota // as the API has it: OpenAI yes, Anthropic no
	roleOnlyOn
	roleOnlyOff
)

// usage counts the output tokens of an answer.
type usage struct {
	output    int // in all
	reasoning int // of these
}

// request is what a dialect takes from a request.
type request struct {
	model        string
	maxTokens    int
	stream       bool
	includeUsage bool
	inputTokens  int
}
