package scenario

import (
	"strconv"
	"strings"
)

// idDigits is how many hexadecimal digits an identity has for the run and workload.
const idDigits = 16

// RunMark tells the arrivals of one workload of one run from all others.
func RunMark(runID, workload string) uint64 { return hashOf("run", runID, workload) }

// ArrivalID is the name of an arrival that {{ .ID }} gives: the mark of its run and
// workload in hexadecimal, and its sequence number, as 6b0f3a…-17.
func ArrivalID(mark, seq uint64) string {
	b := make([]byte, 0, idDigits+21)
	const hexDigits = "0123456789abcdef"
	for shift := 4 * (idDigits - 1); shift >= 0; shift -= 4 {
		b = append(b, hexDigits[mark>>shift&0xf])
	}
	b = append(b, '-')
	return string(strconv.AppendUint(b, seq, 10))
}

// ParseArrivalID reads what ArrivalID wrote; false for anything else. It does not
// allocate.
func ParseArrivalID(id string) (mark, seq uint64, ok bool) {
	head, tail, found := strings.Cut(id, "-")
	if !found || len(head) != idDigits || tail == "" || tail[0] == '+' || len(tail) > 1 && tail[0] == '0' {
		return 0, 0, false
	}
	for i := range len(head) {
		c := head[i]
		switch {
		case c >= '0' && c <= '9':
			mark = mark<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			mark = mark<<4 | uint64(c-'a'+10)
		default:
			return 0, 0, false
		}
	}
	seq, err := strconv.ParseUint(tail, 10, 64)
	return mark, seq, err == nil
}

// ID names the arrival, differently in every run: what the target hands on of it,
// the sink knows again.
func (d *Data) ID() string { return ArrivalID(RunMark(d.RunID, d.Workload), d.Seq) }

// Callback is the arrival's own address at the sink.
func (d *Data) Callback() string { return d.Sink + "/" + d.Workload + "/" + d.ID() }
