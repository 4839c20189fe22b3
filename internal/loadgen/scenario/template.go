package scenario

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
)

// Data is what a template sees of one arrival, as {{ .Seq }} or {{ .Feed.user }}.
type Data struct {
	// Seq is the arrival's number, from 0.
	Seq uint64
	// User is which user of a closed model does it, from 0; -1 in an open model.
	User int
	// Room is the room's name in a websocket workload.
	Room string
	// Workload is the workload's name.
	Workload string
	// RunID is the run's own, different each time: what is built from it is not
	// repeated by a run with the same seed.
	RunID string
	// Feed is the arrival's row; nil without a feed.
	Feed map[string]string
	// Seed is the scenario's.
	Seed uint64
	// Sink is the address of loadgen's own endpoint, without a slash at its end.
	Sink string
	// Message is what a room's publisher sends, a JSON object, and MessageText the same
	// as a JSON string; only where a room's envelope wraps it.
	Message, MessageText string
	// Ref numbers what a member of a room says to the relay, from 1; only in its envelope.
	Ref string
	// Vars is what was extracted from earlier answers of the arrival.
	Vars map[string]string
	// Lengths are the tokens of the workload's arrivals; nil without a shape or trace.
	Lengths *Lengths
	// InSession is the arrival's place in a session; nil without one.
	InSession *Turn
}

// Prompt is the feed's column "prompt", or else a text made up for this arrival:
// the same for the same seed, workload and sequence number. With a shape or trace
// it has four characters for each of its tokens; else it is a question of 10 to 60
// words.
func (d *Data) Prompt() string {
	if p, ok := d.Feed["prompt"]; ok {
		return p
	}
	rng := rand.New(draws(d.Seed, hashOf("prompt", d.Workload), d.Seq))
	if d.Lengths != nil {
		in, _ := d.Lengths.At(d.Seq)
		return drawText(rng, charactersPerToken*in)
	}
	return drawPrompt(rng)
}

// A Template is a path, header value or body with actions in it, in the
// language of text/template. Beside that language's own functions there are:
//
//	json V         V as JSON; text with its quotes
//	urlquery V     V escaped for a query
//	upper S, lower S
//	randInt A B    a whole number from A to B, both included
//	randText N     N characters of words
//	randHex N      N hexadecimal digits
//	uuid           a random UUID (version 4)
//
// A field or feed column that does not exist is an error. There is no access to
// the environment, files or the clock.
//
// The random functions draw from a source seeded by the scenario's seed, the
// workload's name, the template's name and the arrival's sequence number: the
// same scenario with the same seed sends the same requests, in whatever order
// and from however many goroutines they are made.
//
// A Template may be used by any number of goroutines at once.
type Template struct {
	name   string
	static string // the whole text, where it has no action
	parsed *template.Template
	pool   sync.Pool // of *execution
}

// Limits of what one template may do, so that a slip in a scenario cannot take
// the generator down.
const (
	maxOutput     = 16 << 20
	maxRandom     = 1 << 20
	maxRepetition = 100_000
)

// CompileTemplate makes a template of text. Its name, which ought to be unique
// within a workload ("body", "headers.X-Id"), is part of what random functions
// are seeded by.
func CompileTemplate(name, text string) (*Template, error) {
	t := &Template{name: name, static: text}
	if !strings.Contains(text, "{{") {
		return t, nil
	}
	unbound := &execution{}
	parsed, err := template.New("").Option("missingkey=error").Funcs(unbound.functions()).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	if err := bounded(parsed); err != nil {
		return nil, err
	}
	t.parsed = parsed
	return t, nil
}

// Constant reports whether the text is the same for every arrival.
func (t *Template) Constant() bool { return t.parsed == nil }

// Append appends the text for one arrival to dst. On an error dst comes back as
// it was.
func (t *Template) Append(dst []byte, d *Data) ([]byte, error) {
	if t.parsed == nil {
		return append(dst, t.static...), nil
	}
	e, ok := t.pool.Get().(*execution)
	if !ok {
		var err error
		if e, err = newExecution(t.parsed); err != nil {
			return dst, err
		}
	}
	defer t.pool.Put(e)
	e.begin(dst, draws(d.Seed, hashOf(t.name, d.Workload), d.Seq))
	err := e.template.Execute(e, d)
	out := e.end()
	if err != nil {
		return dst, templateError(err)
	}
	return out, nil
}

// bounded refuses what could run without end: templates that call templates,
// and loops other than over a small number.
func bounded(t *template.Template) error {
	if t.Tree == nil {
		return nil
	}
	return boundedList(t.Root, 1)
}

// boundedList checks a list that is run so many times.
func boundedList(l *parse.ListNode, times uint64) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		var branch *parse.BranchNode
		inner := times
		switch n := n.(type) {
		case *parse.TemplateNode:
			return fmt.Errorf("%s: a scenario's template calls no other", n)
		case *parse.IfNode:
			branch = &n.BranchNode
		case *parse.WithNode:
			branch = &n.BranchNode
		case *parse.RangeNode:
			count, err := strconv.ParseUint(n.Pipe.String(), 10, 32)
			if err != nil {
				return fmt.Errorf("range %s: range takes a whole number in a scenario", n.Pipe)
			}
			if inner *= count; inner > maxRepetition {
				return fmt.Errorf("range %s: more than %d times in all", n.Pipe, maxRepetition)
			}
			branch = &n.BranchNode
		default:
			continue
		}
		if err := boundedList(branch.List, inner); err != nil {
			return err
		}
		if err := boundedList(branch.ElseList, times); err != nil {
			return err
		}
	}
	return nil
}

// templateError cuts text/template's prefix down to what helps: the line, where
// it is not the only one.
func templateError(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: :")
	line, rest, ok := strings.Cut(text, ":")
	if n, numeric := strconv.Atoi(line); !ok || numeric != nil {
		return fmt.Errorf("%s", strings.TrimPrefix(text, "template: "))
	} else if n > 1 {
		return fmt.Errorf("line %d: %s", n, withoutColumn(rest))
	}
	return fmt.Errorf("%s", withoutColumn(rest))
}

// withoutColumn drops the "13: " that an error of execution begins with, and
// the empty name of the template.
func withoutColumn(text string) string {
	if column, rest, ok := strings.Cut(text, ":"); ok {
		if _, err := strconv.Atoi(column); err == nil {
			text = rest
		}
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), `executing "" `)
	return strings.ReplaceAll(text, "in type *scenario.Data", "of an arrival's data")
}
