package cron

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Command is what a job's command asks for.
type Command struct {
	Function string        // name of the function to call
	Body     []byte        // JSON; {} where the command has none
	Timeout  time.Duration // 0 where the command has none
}

// functionsPath stands in the URL of a function, before its name.
const functionsPath = "/functions/v1/"

// ParseCommand reads the command of a job, which is one of
//
//	morning-digest
//	morning-digest {"kind": "short"}
//	SELECT net.http_post(url := …, headers := …, body := '{}'::jsonb, timeout_milliseconds := 5000)
//
// The last is what a user of pg_cron and pg_net has. It is read, not executed: of
// url it takes the name that follows /functions/v1/ in a string, body must be one
// string, and params and headers are left out of account. Arguments stand by name
// (:= or =>) or in pg_net's order.
func ParseCommand(text string) (Command, error) {
	text = strings.TrimSpace(text)
	if _, arguments, ok := strings.Cut(text, "net.http_post"); ok {
		c, err := parsePost(arguments)
		if err != nil {
			return Command{}, fmt.Errorf("read the arguments of net.http_post: %w", err)
		}
		return c, nil
	}
	name, body, _ := strings.Cut(text, " ")
	body = strings.TrimSpace(body)
	if !functionName(name) || body != "" && body[0] != '{' {
		return Command{}, fmt.Errorf("command %.100q is neither a function's name, with a JSON object behind it or not, nor SELECT net.http_post(…)", text)
	}
	return withBody(Command{Function: name}, body)
}

// withBody checks the body and puts {} for none.
func withBody(c Command, body string) (Command, error) {
	if body == "" {
		body = "{}"
	}
	if !json.Valid([]byte(body)) {
		return Command{}, fmt.Errorf("body %.100q is no JSON", body)
	}
	c.Body = []byte(body)
	return c, nil
}

// functionName says whether the name can be a function's.
func functionName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// parsePost reads the arguments of net.http_post from their opening parenthesis on.
func parsePost(text string) (Command, error) {
	arguments, err := splitArguments(text)
	if err != nil {
		return Command{}, err
	}
	var c Command
	body := ""
	for i, a := range arguments {
		name := a.name
		if order := []string{"url", "body", "params", "headers", "timeout_milliseconds"}; name == "" && i < len(order) {
			name = order[i]
		}
		switch name {
		case "url":
			for _, s := range a.strings {
				if _, after, ok := strings.Cut(s, functionsPath); ok {
					c.Function = after
				}
			}
		case "body":
			if len(a.strings) != 1 || !castOnly(a.rest) {
				return Command{}, errors.New("body is not one string")
			}
			body = a.strings[0]
		case "timeout_milliseconds":
			ms, err := strconv.ParseUint(strings.TrimSpace(a.rest), 10, 31)
			if err != nil || ms == 0 {
				return Command{}, errors.New("timeout_milliseconds is no positive number")
			}
			c.Timeout = time.Duration(ms) * time.Millisecond
		}
	}
	if !functionName(c.Function) {
		return Command{}, errors.New("url has no string with " + functionsPath + " and a function's name behind it")
	}
	return withBody(c, body)
}

// castOnly says whether nothing stands beside a string but what casts it to JSON.
func castOnly(rest string) bool {
	switch strings.ToLower(strings.Join(strings.Fields(rest), "")) {
	case "", "::json", "::jsonb":
		return true
	}
	return false
}

// argument is one argument of a call in SQL.
type argument struct {
	name    string   // in lower case; empty where it stands by its place
	strings []string // the string constants in it
	rest    string   // all else
}

// splitArguments reads "(a, b := c)" up to the closing parenthesis.
func splitArguments(text string) ([]argument, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "(") {
		return nil, errors.New("they have no parenthesis")
	}
	var out []argument
	var a argument
	var rest strings.Builder
	end := func() {
		a.rest = rest.String()
		for _, sign := range []string{":=", "=>"} {
			if name, value, ok := strings.Cut(a.rest, sign); ok {
				a.name, a.rest = strings.ToLower(strings.TrimSpace(name)), value
				break
			}
		}
		out, a = append(out, a), argument{}
		rest.Reset()
	}
	depth := 1
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'':
			s, length, ok := sqlString(text[i:])
			if !ok {
				return nil, errors.New("a string has no end")
			}
			a.strings = append(a.strings, s)
			i += length - 1
		case c == ',' && depth == 1:
			end()
		case c == ')' && depth == 1:
			end()
			return out, nil
		default:
			switch c {
			case '(':
				depth++
			case ')':
				depth--
			}
			rest.WriteByte(c)
		}
	}
	return nil, errors.New("the parenthesis is not closed")
}

// sqlString reads a string constant at the beginning of text, and says how long it
// is there. A quote in it is doubled.
func sqlString(text string) (s string, length int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '\'' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}
