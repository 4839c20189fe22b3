package llm

import (
	"fmt"
	"strings"
)

// Presets lists the names that "quantiles:NAME" takes for counts: token counts
// of released production traces, the prompt's (-in) and the response's (-out).
//
// chat-azure23 and code-azure23: Azure LLM inference traces 2023 (CC-BY,
// Splitwise, ISCA'24). rag-long: Mooncake (Apache-2.0, FAST'25).
func Presets() []string {
	return []string{
		"chat-azure23-in", "chat-azure23-out",
		"code-azure23-in", "code-azure23-out",
		"rag-long-in", "rag-long-out",
	}
}

// preset returns the table of a named trace: the token counts at fixed levels.
func preset(name string) (levels, values []float64, err error) {
	switch name {
	case "chat-azure23-in":
		values = []float64{2, 29, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734, 4083, 4142, 14050}
	case "chat-azure23-out":
		values = []float64{7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 1000}
	case "code-azure23-in":
		values = []float64{3, 17, 75, 147, 386, 770, 1075, 1469, 1909, 2433, 3192, 5188, 7303, 7436, 7437}
	case "code-azure23-out":
		values = []float64{6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 251, 1899}
	case "rag-long-in":
		values = []float64{891, 894, 901, 964, 1662, 3263, 4993, 6909, 9570, 13196, 17869, 27367, 39550, 85400, 126195}
	case "rag-long-out":
		values = []float64{1, 3, 10, 24, 100, 213, 291, 350, 399, 447, 504, 597, 698, 1119, 2000}
	default:
		return nil, nil, fmt.Errorf("unknown preset %q: want one of %s, or a table of at least two values",
			name, strings.Join(Presets(), ", "))
	}
	levels = []float64{0, 0.01, 0.05, 0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.99, 1}
	return levels, values, nil
}
