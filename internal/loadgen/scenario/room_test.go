package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const lively = `
version: 1
name: lively
target: http://127.0.0.1:8080
duration: 30s
workloads:
  plain:
    protocol: websocket
    load: {users: 100}
    room:
      path: /relay?room={{ .Room }}
      members: 20
      publish: 2/s
      ping: 20s
      subprotocols: [chat.v2, chat.v1]
      require_subprotocol: chat.v2
      slow: {members: 3, read: 4KiB/s}
      churn: {stay: 'lognormal:20s,0.5', away: 'uniform:1s,3s', share: 20%}
      storm: {at: 10s, share: 50%, retry: 2s}
  usual:
    protocol: websocket
    load: {users: 4}
    room:
      path: /relay
      members: 4
      publish: 2/s
      churn: {stay: 5s}
      storm: {at: 1s}
      envelope:
        hello: ['{"op":"join","room":{{ .Room | json }},"ref":{{ .Ref }}}']
        joined: '"ok"'
        refused: ['"error"']
        publish: '{"op":"say","data":{{ .Message }},"ref":{{ .Ref }}}'
        heartbeat: {send: '{"op":"beat"}', answer: beaten}
        reply: [{on: '"ping"', send: '{"op":"pong"}'}]
        leave: '{"op":"leave"}'
  realtime:
    protocol: websocket
    load: {users: 40}
    room: {path: '/realtime/v1/websocket?apikey=${ANON:-anon}&vsn=1.0.0', members: 20, publish: 2/s, speaks: realtime, token: '{{ .User }}'}
  centrifugo:
    protocol: websocket
    load: {users: 40}
    room: {path: /connection/websocket, members: 20, publish: 2/s, speaks: centrifugo, topic: 'chat:{{ .Room }}'}
`

func TestRoomKeys(t *testing.T) {
	s := mustParse(t, lively, Options{})
	stay, _ := ParseTimeDist("lognormal:20s,0.5")
	away, _ := ParseTimeDist("uniform:1s,3s")
	for name, want := range map[string]*Room{
		"plain": {
			Path: "/relay?room={{ .Room }}", Members: 20, Publish: 2, Publishers: 1, Payload: SizeDist{Min: 256, Max: 256},
			Settle: Duration(250 * time.Millisecond), Ping: Duration(20 * time.Second),
			Subprotocols: []string{"chat.v2", "chat.v1"}, RequireSubprotocol: "chat.v2",
			Slow: &Slow{Members: 3, Read: 4096}, Churn: &Churn{Stay: stay, Away: away, Share: 0.2},
			Storm: &Storm{At: Duration(10 * time.Second), Share: 0.5, Retry: Duration(2 * time.Second)},
		},
		"usual": {
			Path: "/relay", Members: 4, Publish: 2, Publishers: 1, Payload: SizeDist{Min: 256, Max: 256},
			Settle: Duration(250 * time.Millisecond),
			Churn:  &Churn{Stay: Every(5 * time.Second), Away: Every(time.Second), Share: 1},
			Storm:  &Storm{At: Duration(time.Second), Share: 1, Retry: Duration(time.Second)},
			Envelope: &Envelope{
				Hello:  []string{`{"op":"join","room":{{ .Room | json }},"ref":{{ .Ref }}}`},
				Joined: `"ok"`, Refused: []string{`"error"`},
				Publish:   `{"op":"say","data":{{ .Message }},"ref":{{ .Ref }}}`,
				Heartbeat: &Heartbeat{Every: Duration(25 * time.Second), Send: `{"op":"beat"}`, Answer: "beaten"},
				Reply:     []AutoReply{{On: `"ping"`, Send: `{"op":"pong"}`}},
				Leave:     `{"op":"leave"}`,
			},
		},
		"realtime": {
			Path: "/realtime/v1/websocket?apikey=anon&vsn=1.0.0", Members: 20, Publish: 2, Publishers: 1, Payload: SizeDist{Min: 256, Max: 256},
			Settle: Duration(250 * time.Millisecond), Speaks: SpeaksRealtime, Topic: "realtime:{{ .Room }}", Token: "{{ .User }}",
		},
		"centrifugo": {
			Path: "/connection/websocket", Members: 20, Publish: 2, Publishers: 1, Payload: SizeDist{Min: 256, Max: 256},
			Settle: Duration(250 * time.Millisecond), Speaks: SpeaksCentrifugo, Topic: "chat:{{ .Room }}", Echo: true,
		},
	} {
		if diff := cmp.Diff(want, s.Workloads[name].Room, cmpopts.EquateComparable(TimeDist{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if err := bySchema(compiledSchema(t), lively); err != nil {
		t.Error("the schema refuses it:", err)
	}
	clean := s.Redacted().Workloads["realtime"].Room
	if strings.Contains(clean.Path, "anon") || strings.Contains(clean.Token, "User") {
		t.Errorf("a result would hold the credentials of %+v", clean)
	}
	if s.Workloads["realtime"].Room.Token == clean.Token {
		t.Error("the scenario itself lost its token")
	}
}

func TestByteRate(t *testing.T) {
	for text, want := range map[string]ByteRate{"4KiB/s": 4096, "1MB/s": 1e6, "10B/s": 10} {
		got, err := ParseByteRate(text)
		if err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", text, got, err, want)
		}
		if back, err := ParseByteRate(got.String()); err != nil || back != got {
			t.Errorf("%s is written %s, which reads %d, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "4KiB", "4/s", "4KiB/m", "-1B/s", "1GiB/s", "17MiB/s", "0.5B/s"} {
		if got, err := ParseByteRate(text); err == nil {
			t.Errorf("%q was taken as %d", text, got)
		}
	}
}

func FuzzByteRate(f *testing.F) {
	for _, text := range []string{"4KiB/s", "1.5kB/s", "0B/s", "x/s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseByteRate(text)
		if err != nil {
			return
		}
		if back, err := ParseByteRate(r.String()); err != nil || back != r {
			t.Fatalf("%q reads %d, is written %s, which reads %d, %v", text, r, r, back, err)
		}
	})
}
