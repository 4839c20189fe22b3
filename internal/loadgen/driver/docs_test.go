package driver

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/edgeload/edgeload/internal/loadgen/engine"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/metrics.md")

// docs/metrics.md lists every metric with the definition that the program gives.
func TestMetricsAreDocumented(t *testing.T) {
	const path = "../../../docs/metrics.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	declared := map[string][]engine.Metric{"engine": engine.OwnMetrics()}
	for p, proto := range protocols() {
		declared[string(p)] = proto.metrics()
	}
	for name, metrics := range declared {
		var table strings.Builder
		table.WriteString("| metric | kind | unit | definition |\n|---|---|---|---|\n")
		for _, m := range metrics {
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, m.Unit, m.Help)
		}
		section := regexp.MustCompile(`(?s)(<!-- ` + name + ` -->\n).*?(<!-- end -->)`)
		if !section.MatchString(want) {
			t.Fatalf("%s has no section %s", path, name)
		}
		want = section.ReplaceAllString(want, "${1}"+strings.ReplaceAll(table.String(), "$", "$$")+"${2}")
	}
	if want == string(b) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the drivers declare; go test ./internal/loadgen/driver -run Documented -update", path)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
