package llm

import (
	"fmt"

	"github.com/edgeload/edgeload/internal/wire"
)

// API is the form in which a model is asked and answers.
type API int

// The forms that the simulator speaks.
const (
	Anthropic API = iota // the Messages API, at wire.PathMessages
	OpenAI               // chat completions, at wire.PathCompletions
)

// ParseAPI reads "anthropic" or "openai".
func ParseAPI(text string) (API, error) {
	switch text {
	case "anthropic":
		return Anthropic, nil
	case "openai":
		return OpenAI, nil
	}
	return 0, fmt.Errorf("API %q: want anthropic or openai", text)
}

// String returns what ParseAPI reads.
func (a API) String() string {
	if a == OpenAI {
		return "openai"
	}
	return "anthropic"
}

// MarshalText returns what ParseAPI reads.
func (a API) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseAPI, for flags and files.
func (a *API) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAPI(string(text))
	return err
}

// Path is where the simulator serves the API.
func (a API) Path() string {
	if a == OpenAI {
		return wire.PathCompletions
	}
	return wire.PathMessages
}

// dialectAt returns the form of what is asked at a path.
func dialectAt(path string) dialect {
	if path == wire.PathCompletions {
		return openAI{}
	}
	return anthropic{}
}
