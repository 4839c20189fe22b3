package engine

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// answererEnv makes the test binary the server of the pacing tests: a process of
// its own, that shares no scheduler with the engine under test.
const answererEnv = "EDGELOAD_TEST_ANSWERER"

func TestMain(m *testing.M) {
	if os.Getenv(answererEnv) != "" {
		os.Exit(answer())
	}
	goleak.VerifyTestMain(m)
}
