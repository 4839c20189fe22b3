package cron

import (
	"encoding/json"
	"testing"
	"time"
)

const guideCommand = `
SELECT net.http_post(
url := current_setting('app.supabase_url') || '/functions/v1/morning-digest',
headers := jsonb_build_object(
'Content-Type', 'application/json',
'Authorization', 'Bearer ' || current_setting('app.service_role_key')
),
body := '{}'::jsonb
);
`

func TestParseCommand(t *testing.T) {
	for _, tc := range []struct {
		text    string
		want    Command
		refused bool
	}{
		{text: "morning-digest", want: Command{Function: "morning-digest", Body: []byte("{}")}},
		{text: ` digest  {"a": [1]} `, want: Command{Function: "digest", Body: []byte(`{"a": [1]}`)}},
		{text: guideCommand, want: Command{Function: "morning-digest", Body: []byte("{}")}},
		{
			text: `select net.http_post('http://h/functions/v1/f', '{"it": "it''s"}', timeout_milliseconds => 250)`,
			want: Command{Function: "f", Body: []byte(`{"it": "it's"}`), Timeout: 250 * time.Millisecond},
		},
		{text: `select net.http_post(url => 'http://h/functions/v1/f') as request_id`, want: Command{Function: "f", Body: []byte(`{}`)}},
		{text: "", refused: true},
		{text: "SELECT 1", refused: true},
		{text: "digest {", refused: true},
		{text: "../admin", refused: true},
		{text: "net.http_post", refused: true},
		{text: "net.http_post(", refused: true},
		{text: "net.http_post()", refused: true},
		{text: "net.http_post('http://h/f')", refused: true},
		{text: "net.http_post('http://h/functions/v1/f", refused: true},
		{text: "net.http_post('http://h/functions/v1/f?x=1')", refused: true},
		{text: "net.http_post('http://h/functions/v1/f', jsonb_build_object('a', 1))", refused: true},
		{text: "net.http_post('http://h/functions/v1/f', body := '{')", refused: true},
		{text: "net.http_post('http://h/functions/v1/f', timeout_milliseconds := 0)", refused: true},
	} {
		got, err := ParseCommand(tc.text)
		if tc.refused {
			if err == nil {
				t.Errorf("%q is read as %+v", tc.text, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		want(t, tc.text, tc.want, got)
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, text := range []string{guideCommand, "digest", `digest {"a": 1}`, "net.http_post('http://h/functions/v1/f', '{}', body => '1')"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCommand(text)
		if err != nil {
			return
		}
		if !functionName(c.Function) || !json.Valid(c.Body) || c.Timeout < 0 {
			t.Errorf("%q is read as %+v", text, c)
		}
	})
}
