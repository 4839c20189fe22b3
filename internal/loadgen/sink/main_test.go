package sink

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// clientOf in the environment makes the test's program a client of the sink at this
// address, so that the sink's CPU time can be told from its callers'.
const clientOf = "SINK_TEST_CLIENT_OF"

func TestMain(m *testing.M) {
	if address := os.Getenv(clientOf); address != "" {
		os.Exit(beClient(address))
	}
	goleak.VerifyTestMain(m)
}
