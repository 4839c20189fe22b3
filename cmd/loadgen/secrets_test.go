package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

const secretScenario = `
version: 1
name: secretive
description: 'the database is ${DB_PASSWORD}'
target: http://127.0.0.1
duration: 300ms
drain: 1s
workloads:
  header: &api
    protocol: http
    load: {rate: 20/s}
    request:
      path: '/api?access_token=${QUERY}&more=${PLAIN}'
      headers: {Authorization: 'Bearer ${HEADER}'}
      body: '{"password": "${BODY}", "prompt": {{ .Prompt | json }}}'
    checks: [{header: {name: X-Auth-Token, equals: '${HEADER_CHECK}'}}]
  json: {<<: *api, checks: [{json: {path: '$.secret', equals: '${JSON_CHECK}'}}]}
  body: {<<: *api, checks: [{body: {contains: '${BODY_TOKEN}'}}]}
  stream:
    protocol: sse
    load: {rate: 20/s}
    request: {path: '/stream?api_key=${QUERY}', headers: {Cookie: 'id=${HEADER}'}, body: '{"secret": "${BODY}"}'}
  rooms:
    protocol: websocket
    load: {users: 2}
    room: {path: '/room?token=${QUERY}', headers: {apikey: '${HEADER}'}, members: 2, publish: 1/s}
  hello:
    protocol: websocket
    load: {users: 2}
    room:
      path: '/hello'
      members: 2
      publish: 1/s
      envelope:
        hello: ['{"op": "join", "secret": "${HELLO}"}']
        joined: '"welcome"'
        refused: ['"refused"']
        publish: '{"op": "say", "data": {{ .Message }}}'
`

// refuse says to a member of a room what it has said itself, and that it may not come in.
func refuse(w http.ResponseWriter, r *http.Request) {
	conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, hello, err := conn.ReadMessage()
	if err == nil {
		_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"op": "refused", "you said": %q}`, hello))
	}
}

// No file and no output of a run has a secret, though the server answers with
// everything that it was sent, and each check fails.
func TestSecretsStayOutOfEverything(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := httputil.DumpRequest(r, true)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/hello" {
			refuse(w, r)
			return
		}
		if r.URL.Path == "/api" {
			_, _ = w.Write(sent) // 200, so that the checks see it
			return
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprintf(w, "%s, or %q, or %s", sent, sent, url.QueryEscape(string(sent)))
	}))
	defer server.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.yaml")
	if err := os.WriteFile(path, []byte(secretScenario), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"DB_PASSWORD": "1database-secret", "QUERY": "2query-secret", "HEADER": "3header-secret", "BODY": "4body-secret",
		"HEADER_CHECK": "5header-check", "JSON_CHECK": "6json-check", "BODY_TOKEN": "7body-check",
		"HELLO": "8hello-secret",
	}
	environ := []string{"PLAIN=plain-value", "HOME=" + dir}
	for name, value := range secrets {
		environ = append(environ, name+"="+value)
	}
	var out, errs bytes.Buffer
	code := run(context.Background(), []string{"run", "--target", server.URL, "--out", dir, path}, environ, &out, &errs)
	if code != exitInvalid && code != exitOK {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	texts := map[string]string{"stdout": out.String(), "stderr": errs.String()}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || file == path {
			return err
		}
		b, err := os.ReadFile(file)
		texts[file] = string(b)
		return err
	})
	if err != nil || len(texts) < 4 {
		t.Fatalf("%d files and outputs, %v", len(texts), err)
	}
	all := ""
	for file, text := range texts {
		all += text
		for name, secret := range secrets {
			if i := strings.Index(text, secret[:8]); i >= 0 { // nor a part of it
				t.Errorf("%s has the value of %s: …%s…", file, name, text[max(0, i-80):min(len(text), i+40)])
			}
		}
	}
	for _, shown := range []string{"plain-value", "(left out)", "http 418", "json $.secret", "body contains"} {
		if !strings.Contains(all, shown) {
			t.Errorf("%q stands nowhere: the test looks in the wrong places", shown)
		}
	}
}
