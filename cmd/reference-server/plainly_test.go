package main

import (
	"strings"
	"testing"
)

// What the log and ground truth name of a database or a broker holds no secret.
func TestPlainly(t *testing.T) {
	for text, want := range map[string]string{
		":memory:":                ":memory:",
		"/var/lib/app.db":         "/var/lib/app.db",
		"memory":                  "memory",
		"redis://127.0.0.1:6379":  "redis://127.0.0.1:6379",
		"postgres://127.0.0.1/db": "postgres://127.0.0.1/db",
		"postgres://hunter1:hunter2@127.0.0.1:5432/db?sslmode=disable&password=hunter3": "postgres://127.0.0.1:5432/db",
		"redis://:hunter2@[::1]:6379/0": "redis://[::1]:6379/0",
		"postgres://hunter2@host/%zz":   "postgres://(unreadable)",
	} {
		got := plainly(text)
		if got != want || strings.Contains(got, "hunter") {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
