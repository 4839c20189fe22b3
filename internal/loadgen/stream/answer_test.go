package stream

import "testing"

func TestAppendText(t *testing.T) {
	for _, c := range []struct {
		dialect Dialect
		data    []string
		want    string
	}{
		{Anthropic, []string{
			`{"type":"message_start","message":{"usage":{"output_tokens":1}}}`,
			`{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"hm"}}`,
			`{"type":"content_block_delta","delta":{"type":"text_delta","text":"Good "}}`,
			`{"type":"content_block_delta","delta":{"type":"text_delta","text":"day\n"}}`,
			`{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{}"}}`,
			`{"type":"message_stop"}`,
		}, "Good day\n"},
		{OpenAI, []string{
			`{"choices":[{"index":0,"delta":{"role":"assistant"}}]}`,
			`{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}`,
			`{"choices":[{"index":0,"delta":{"content":"Good "}},{"index":1,"delta":{"content":"Bad "}}]}`,
			`{"choices":[{"index":0,"text":"day"}]}`,
			`not JSON`, ``, done,
		}, "Good day"},
		{Text, []string{"Good ", "day", done}, "Good day"},
	} {
		var scratch Scratch
		d := NewDecoder(c.dialect, &scratch)
		var got []byte
		for _, data := range c.data {
			e := Event{Data: []byte(data)}
			d.Decode(e)
			got = d.AppendText(got, e)
		}
		if string(got) != c.want {
			t.Errorf("%v: %q, want %q", c.dialect, got, c.want)
		}
	}
}
