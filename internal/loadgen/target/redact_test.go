package target

import (
	"strings"
	"testing"
)

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"deno run --allow-net main.ts --port 8000":             "deno run --allow-net main.ts --port 8000",
		"API_TOKEN=abc PORT=1 server":                          "API_TOKEN=(left out) PORT=1 server",
		"SUPABASE_SERVICE_ROLE_KEY='a b' node x.js":            "SUPABASE_SERVICE_ROLE_KEY=(left out) node x.js",
		"server --jwt-secret hunter2 --listen :1":              "server --jwt-secret (left out) --listen :1",
		"server --jwt-secret 'hunter 2' -v":                    "server --jwt-secret (left out) -v",
		"server --api-key=hunter2":                             "server --api-key=(left out)",
		"server -H 'Authorization: Bearer hunter2' -v":         "server -H 'Authorization: (left out) -v",
		`server -H "apikey:hunter2" x`:                         `server -H "apikey:(left out) x`,
		"server --store postgres://me:hunter2@db/x?sslmode=no": "server --store postgres://me:(left out)@db/x?sslmode=no",
		"server --upstream https://hunter2@host/":              "server --upstream https://(left out)@host/",
		"server --url 'http://h/?a=1&token=hunter2&b=2'":       "server --url 'http://h/?a=1&token=(left out)&b=2'",
		"bash -c 'cd x && TOKEN=hunter2 exec y --key hunter2'": "bash -c 'cd x && TOKEN=(left out) exec y --key (left out)'",
		"it's an 'open quote":                                  "it's an 'open quote",
	} {
		if got := Redacted(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func FuzzRedacted(f *testing.F) {
	for _, s := range []string{"a --token b", `x "y 'z' \" w" T=1`, "TOKEN='", "sh -c 'PASSWORD=1 a'", "\\", "http://a:b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, command string) {
		if strings.ContainsRune(command, 0) {
			return // no command holds one
		}
		// Whatever stands before it, a variable of such a name at the end keeps its
		// value to itself, unless a quote or backslash is open there.
		Redacted(command)
		if strings.ContainsAny(command, `'"\`) {
			return
		}
		if got := Redacted(command + " API_TOKEN=hunter2zz"); strings.Contains(got, "hunter2zz") {
			t.Errorf("%q keeps it: %q", command, got)
		}
	})
}
