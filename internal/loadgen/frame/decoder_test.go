package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// serverFrame is a frame as a server sends it, with the shortest length or, for
// wide, with the longest.
func serverFrame(first byte, payload []byte, wide bool) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case wide:
		b = binary.BigEndian.AppendUint64(append(b, length64), uint64(n))
	case n < length16:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, length16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, length64), uint64(n))
	}
	return append(b, payload...)
}

// decode gives wire to a Decoder in pieces of so many bytes, the last repeated,
// and lists what comes out.
func decode(wire []byte, limit int64, pieces ...int) (frames []Frame, err error) {
	d := Decoder{Limit: limit}
	for i := 0; len(wire) > 0; i++ {
		n := min(max(pieces[min(i, len(pieces)-1)], 1), len(wire))
		data := bytes.Clone(wire[:n]) // what lies behind must not be looked at
		wire = wire[n:]
		for {
			var f Frame
			if f, data, err = d.Next(data); err != nil {
				return frames, err
			}
			if f.Opcode == None {
				break
			}
			frames = append(frames, Frame{f.Opcode, bytes.Clone(f.Payload)})
		}
	}
	return frames, nil
}

func text(frames []Frame) (all []string) {
	for _, f := range frames {
		all = append(all, fmt.Sprintf("%d:%.20q:%d", f.Opcode, f.Payload, len(f.Payload)))
	}
	return all
}

// However a stream of messages is fragmented, interrupted by control frames and
// cut, the same comes out.
func TestDecoderPutsMessagesTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire []byte
		var want []Frame
		interrupt := func() {
			for range rapid.IntRange(0, 2).Draw(t, "control frames") / 2 {
				f := Frame{rapid.SampledFrom([]Opcode{Ping, Pong, Close}).Draw(t, "control"), rapid.SliceOfN(rapid.Byte(), 0, MaxControl).Draw(t, "payload")}
				wire = append(wire, serverFrame(finalBit|byte(f.Opcode), f.Payload, false)...)
				want = append(want, f)
			}
		}
		for range rapid.IntRange(0, 5).Draw(t, "messages") {
			f := Frame{Opcode: rapid.SampledFrom([]Opcode{Text, Binary}).Draw(t, "kind")}
			op, fragments := f.Opcode, rapid.IntRange(1, 4).Draw(t, "fragments")
			for i := range fragments {
				payload := bytes.Repeat([]byte{byte('a' + i)}, rapid.SampledFrom([]int{0, 1, 125, 126, 300, 65535, 65536}).Draw(t, "size"))
				first := byte(op)
				if i == fragments-1 {
					first |= finalBit
				}
				wire = append(wire, serverFrame(first, payload, rapid.Bool().Draw(t, "wide"))...)
				f.Payload = append(f.Payload, payload...)
				op = continuation
				if i < fragments-1 {
					interrupt()
				}
			}
			want = append(want, f)
			interrupt()
		}
		got, err := decode(wire, 0, rapid.SliceOfN(rapid.IntRange(1, 70000), 1, 20).Draw(t, "pieces")...)
		if err != nil || !slices.Equal(text(got), text(want)) {
			t.Fatalf("got %v, %v\nwant %v", text(got), err, text(want))
		}
		for i := range want {
			if !bytes.Equal(got[i].Payload, want[i].Payload) {
				t.Fatalf("payload %d differs", i)
			}
		}
	})
}

func TestDecoderRefuses(t *testing.T) {
	whole := serverFrame(finalBit|byte(Text), []byte("whole"), false)
	for _, c := range []struct {
		name string
		wire []byte
		want error
	}{
		{"reserved bit", serverFrame(finalBit|0x40|byte(Text), nil, false), ProtocolError("reserved bits without an extension")},
		{"masked", []byte{finalBit | byte(Text), maskBit | 1, 0, 0, 0, 0, 'x'}, ProtocolError("masked frame from a server")},
		{"message within a message", slices.Concat(serverFrame(byte(Text), nil, false), whole), ProtocolError("message within a message")},
		{"continuation first", serverFrame(finalBit, nil, false), ProtocolError("continuation without a message")},
		{"continuation after the end", slices.Concat(whole, serverFrame(finalBit, nil, false)), ProtocolError("continuation without a message")},
		{"opcode 3", serverFrame(finalBit|3, nil, false), ProtocolError("unknown opcode 3")},
		{"opcode 11", serverFrame(finalBit|11, nil, false), ProtocolError("unknown opcode 11")},
		{"fragmented ping", serverFrame(byte(Ping), nil, false), ProtocolError("control frame in fragments")},
		{"long close", serverFrame(finalBit|byte(Close), make([]byte, 126), false), ProtocolError("control frame longer than 125 bytes")},
		{"beyond the limit", serverFrame(finalBit|byte(Text), make([]byte, 1001), false), ErrTooBig},
		{"beyond it in fragments", slices.Concat(serverFrame(byte(Text), make([]byte, 600), false), serverFrame(finalBit, make([]byte, 401), false)), ErrTooBig},
		{"announced beyond it", []byte{finalBit | byte(Text), length64, 0, 0, 0, 1, 0, 0, 0, 0}, ErrTooBig},
		{"a length below 0", []byte{finalBit | byte(Text), length64, 0xff, 0, 0, 0, 0, 0, 0, 0}, ErrTooBig},
	} {
		for piece := 1; piece <= len(c.wire); piece += 1 + piece/4 {
			if frames, err := decode(c.wire, 1000, piece); !errors.Is(err, c.want) {
				t.Errorf("%s, in pieces of %d: %v and error %v, expected %v", c.name, piece, text(frames), err, c.want)
			}
		}
	}
	if frames, err := decode(serverFrame(finalBit|byte(Text), make([]byte, 1000), false), 1000, 7); err != nil || len(frames) != 1 {
		t.Errorf("a message of the limit: %v, %v", text(frames), err)
	}
}

// Messages that come whole, cut, fragmented or with pings between allocate
// nothing once the longest has been seen.
func TestDecoderDoesNotAllocate(t *testing.T) {
	payload := make([]byte, 300)
	wire := slices.Concat(
		serverFrame(finalBit|byte(Text), payload, false),
		serverFrame(byte(Binary), payload, false), serverFrame(finalBit|byte(Ping), []byte("ping"), false), serverFrame(finalBit, payload, false),
	)
	var d Decoder
	feed := func(piece []byte) (n int) {
		for {
			f, rest, err := d.Next(piece)
			if err != nil {
				t.Fatal(err)
			}
			if f.Opcode == None {
				return n
			}
			n++
			piece = rest
		}
	}
	cut := 0
	got := 0
	allocs := testing.AllocsPerRun(2*len(wire), func() {
		cut = (cut + 1) % len(wire)
		got += feed(wire[:cut]) + feed(wire[cut:])
	})
	if allocs != 0 || got != 3*(2*len(wire)+1) {
		t.Errorf("%v allocations, %d frames", allocs, got)
	}
}

func BenchmarkDecoder(b *testing.B) {
	const frames = 16
	wire := bytes.Repeat(serverFrame(finalBit|byte(Text), make([]byte, 256), false), frames)
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		for data, n := wire, 0; ; n++ {
			f, rest, err := d.Next(data)
			if err != nil {
				b.Fatal(err)
			}
			if f.Opcode == None {
				if n != frames {
					b.Fatal(n, io.ErrUnexpectedEOF)
				}
				break
			}
			data = rest
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frames, "ns/frame")
}
