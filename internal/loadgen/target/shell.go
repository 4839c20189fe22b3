package target

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// argv is the command to run.
func (o Options) argv() ([]string, error) {
	switch {
	case len(o.Command) > 0 && o.Shell != "":
		return nil, errors.New("start: both a command and a shell line given")
	case len(o.Command) > 0 && o.Command[0] != "":
		return o.Command, nil
	case strings.TrimSpace(o.Shell) != "":
		return []string{"sh", "-c", replaceShell(strings.TrimSpace(o.Shell))}, nil
	}
	return nil, errors.New("start: no command given")
}

// replaceShell puts exec before the last command of a line, so that no shell
// stands between the server and its signals, its exit status and the death of
// its parent. Many shells do so by themselves, Debian's dash does not. A line
// that is more than a list of plain commands is left as it is.
func replaceShell(line string) string {
	begin, ok := lastCommand(line)
	command := strings.TrimSpace(line[begin:])
	if !ok || command == "" {
		return line
	}
	with := "exec "
	words := strings.Fields(command)
	if assignment.MatchString(command) {
		with = "exec env "
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
	}
	if len(words) == 0 || slices.Contains(notPrograms(), words[0]) {
		return line
	}
	if begin > 0 {
		with = " " + with
	}
	return line[:begin] + with + command
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// notPrograms lists first words that exec would look for in vain: the shell's
// own commands and the closing words of its compound ones.
func notPrograms() []string {
	return strings.Fields("! . : } case cd command done esac eval exec exit export fi if for read set shift time trap ulimit umask unset until wait while")
}

// lastCommand returns where the last command of a list ("a && b; c") begins;
// false when the line has pipes, groups, substitutions or background commands.
func lastCommand(line string) (begin int, ok bool) {
	var quote byte
	for i := 0; i < len(line); i++ {
		c, next := line[i], byte(0)
		if i+1 < len(line) {
			next = line[i+1]
		}
		switch {
		case quote == '\'':
			if c == quote {
				quote = 0
			}
		case c == '\\':
			i++
		case c == '`' || c == '$' && next == '(':
			return 0, false
		case quote == '"':
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == ';' || c == '\n':
			begin = i + 1
		case c == '&' && i > 0 && line[i-1] == '>': // 2>&1
		case (c == '&' || c == '|') && next == c:
			i++
			begin = i + 1
		case c == '$' && next == '{':
			i++
		case strings.IndexByte("&|(){<#", c) >= 0:
			return 0, false
		}
	}
	// A trap is the shell's, and would be lost with it.
	return begin, quote == 0 && !strings.Contains(line, "trap ")
}
