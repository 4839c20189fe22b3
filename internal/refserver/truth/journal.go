package truth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
)

// maxLine is the longest line that a journal may have, in bytes. What Add lets pass
// takes at most 32 KiB, with every byte escaped.
const maxLine = 1 << 20

// noSeq begins every line as encode leaves it, seqField as it is written.
const (
	noSeq    = `{"seq":0`
	seqField = `{"seq":`
)

// entry is a line of a journal: a record, or what Reset leaves as the first line, the
// Seq of the last record before it.
type entry struct {
	Record
	Reset bool `json:"reset"`
}

// Recovery is what Open found in the file.
type Recovery struct {
	Records uint64 // whole ones
	Cut     int64  // bytes of a last record that was being written when its process ended; 0: none
}

// journal is the file of a Ledger, and is guarded by its lock.
type journal struct {
	file    *os.File
	size    int64  // of the whole lines in it
	line    []byte // reused
	lost    uint64
	failure error // the first
	broken  bool  // an incomplete line could not be taken back: nothing may follow it
}

// Open returns a Ledger that goes on where the file at path ends, and creates it
// where there is none. The file's records are counted, and the newest are kept as by
// New. A last line that its process did not live to finish is cut off: nobody was
// told that it was kept. Any other line that is no record is an error, and the file
// is left as it is; so is a file that another process has open.
//
// It is to be closed.
func Open(path string, keep int) (*Ledger, Recovery, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open the ledger: %w", err)
	}
	l := New(keep)
	found, err := l.recover(file)
	if err != nil {
		return nil, Recovery{}, errors.Join(fmt.Errorf("open the ledger %s: %w", path, err), file.Close())
	}
	return l, found, nil
}

func (l *Ledger) recover(file *os.File) (Recovery, error) {
	if err := lock(file); err != nil {
		return Recovery{}, fmt.Errorf("another process has it open: %w", err)
	}
	l.journal = &journal{file: file}
	var found Recovery
	rest, err := read(file, func(e entry) error {
		if e.Seq <= l.last {
			return fmt.Errorf("seq %d follows %d", e.Seq, l.last)
		}
		if l.last == 0 { // what was before is not lost, but reset
			l.since = e.Seq - 1
		}
		if e.Reset {
			if l.last > 0 {
				return errors.New("a reset is no first line")
			}
			l.last, l.since = e.Seq, e.Seq
			return nil
		}
		found.Records++
		l.note(e.Record)
		return nil
	})
	if err != nil {
		return Recovery{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return Recovery{}, err
	}
	found.Cut = rest
	l.journal.size = info.Size() - rest
	if rest > 0 {
		return found, l.journal.truncate(l.journal.size)
	}
	return found, nil
}

// Close gives up the file; records that are added after it are counted and kept, and
// not written. The error is the first that writing met.
func (l *Ledger) Close() error {
	if l == nil || l.journal == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.journal
	failure := j.failure
	if !j.broken {
		j.broken = true
		failure = errors.Join(failure, j.file.Close())
	}
	return failure
}

// Unwritten is how many records could not be written to the file, and why the first
// of them could not.
func (l *Ledger) Unwritten() (uint64, error) {
	if l == nil || l.journal == nil {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.journal.lost, l.journal.failure
}

// Records yields all records of a kind since the last Reset, the oldest first: those
// in the file, however many, or without a file those that are kept. What is added
// meanwhile is not among them. An error is the last that is yielded.
func (l *Ledger) Records(kind Kind) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if l == nil {
			return
		}
		if l.journal == nil {
			kept, _ := l.Since(0, 0)
			for _, r := range kept {
				if r.Kind == kind && !yield(r, nil) {
					return
				}
			}
			return
		}
		l.mu.Lock()
		path, size := l.journal.file.Name(), l.journal.size
		l.mu.Unlock()
		file, err := os.Open(path)
		if err != nil {
			yield(Record{}, fmt.Errorf("read the ledger: %w", err))
			return
		}
		defer func() { _ = file.Close() }() // only read
		_, err = read(io.LimitReader(file, size), func(e entry) error {
			if e.Kind == kind && !e.Reset && !yield(e.Record, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(Record{}, fmt.Errorf("read the ledger %s: %w", path, err))
		}
	}
}

// errEnough ends a reading early.
var errEnough = errors.New("enough was read")

// encode is the record's line, but for its Seq; nil where JSON has no form for it,
// which Add sees to.
func encode(r Record) []byte {
	r.Seq = 0
	line, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	return append(line, '\n')
}

// resetLine is what follows a Seq in the line of Reset, in the form of encode's lines.
const resetLine = noSeq + `,"reset":true}` + "\n"

// write appends a line that encode made. One that read would refuse is lost: the file
// stays one that can be opened.
func (j *journal) write(line []byte, seq uint64) {
	if j.broken || line == nil {
		j.lost++
		return
	}
	j.line = append(j.line[:0], seqField...)
	j.line = strconv.AppendUint(j.line, seq, 10)
	j.line = append(j.line, line[len(noSeq):]...)
	if len(j.line) > maxLine {
		j.lost++
		j.line = nil
		return
	}
	if _, err := j.file.Write(j.line); err != nil {
		j.lost++
		if j.failure == nil {
			j.failure = fmt.Errorf("write to the ledger: %w", err)
		}
		if err := j.truncate(j.size); err != nil {
			j.broken = true
		}
		return
	}
	j.size += int64(len(j.line))
}

func (j *journal) truncate(size int64) error {
	if err := j.file.Truncate(size); err != nil {
		return fmt.Errorf("cut the ledger: %w", err)
	}
	j.size = size
	return nil
}

// read calls each for every whole line and returns how many bytes of an unfinished
// one come after them.
func read(from io.Reader, each func(entry) error) (rest int64, err error) {
	lines := bufio.NewReaderSize(from, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			if n := min(len(line), len(seqField)); string(line[:n]) != seqField[:n] {
				return 0, fmt.Errorf("line %d: no record", number)
			}
			return int64(len(line)), nil
		}
		if err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		var e entry
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&e); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		if e.Seq == 0 || decoder.InputOffset() < int64(len(bytes.TrimRight(line, " \t\r\n"))) {
			return 0, fmt.Errorf("line %d: no record", number)
		}
		if err := each(e); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
	}
}

// readLine returns a line with its end, or what there is and io.EOF.
func readLine(from *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, err := from.ReadSlice('\n')
		whole = append(whole, part...)
		switch {
		case len(whole) > maxLine:
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		case !errors.Is(err, bufio.ErrBufferFull):
			return whole, err
		}
	}
}
