package stream

import (
	"bytes"

	"github.com/valyala/fastjson"
)

// AppendText appends the text that e adds to the answer, as a user would read it:
// without reasoning and tool calls. e is one that Decode has read; this reads it
// again, for those few who keep answers.
func (d *Decoder) AppendText(dst []byte, e Event) []byte {
	if d.dialect == Text {
		if text(e).Token == Content {
			dst = append(dst, e.Data...)
		}
		return dst
	}
	if len(bytes.TrimSpace(e.Data)) == 0 {
		return dst
	}
	parser := d.scratch.take()
	defer d.scratch.giveBack(parser, len(e.Data))
	v, err := parser.ParseBytes(e.Data)
	if err != nil || v.Type() != fastjson.TypeObject {
		return dst
	}
	if d.dialect == Anthropic {
		if delta := v.Get("delta"); string(delta.GetStringBytes("type")) == "text_delta" {
			dst = append(dst, delta.GetStringBytes("text")...)
		}
		return dst
	}
	for _, choice := range v.GetArray("choices") {
		if choice.GetInt("index") != 0 {
			continue // of several answers the conversation goes on with the first
		}
		delta := choice.Get("delta")
		for _, part := range [][]byte{delta.GetStringBytes("content"), delta.GetStringBytes("refusal"), choice.GetStringBytes("text")} {
			dst = append(dst, part...)
		}
	}
	return dst
}
