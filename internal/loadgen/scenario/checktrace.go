package scenario

// openTrace reads the trace of the workload at path at, once; nil where there is
// none that could be read.
func (c *checker) openTrace(at string, l *Load) *TraceRows {
	path := at + ".load.trace"
	if l.Trace == nil || c.bad[path] || c.bad[path+".format"] || !c.good(path+".file") || !(l.Trace.Speed > 0) {
		return nil
	}
	if rows, ok := c.traces[path]; ok {
		return rows
	}
	var rows *TraceRows
	if l.Trace.File == "" {
		c.wrong(path+".file", "names no file")
	} else {
		var err error
		if rows, err = OpenTrace(c.scenario.Dir, l.Trace); err != nil {
			c.wrong(path+".file", "%s", err)
		}
	}
	c.traces[path] = rows
	return rows
}

// trace checks the numbers of a trace; at is the path of the workload.
func (c *checker) trace(at string, l *Load) {
	path := at + ".load.trace"
	if l.Trace == nil || c.bad[path] {
		return
	}
	if c.good(path+".speed") && !(l.Trace.Speed > 0 && l.Trace.Speed <= maxSpeed) {
		c.wrong(path+".speed", "must be above 0 and at most %v, is %v", maxSpeed, l.Trace.Speed)
	}
	if c.good(path+".limit") && l.Trace.Limit < 1 {
		c.wrong(path+".limit", "must be at least 1, is %d", l.Trace.Limit)
	}
	c.openTrace(at, l)
}

// session checks what a session is made of; at is the path of the workload.
func (c *checker) session(at string, l *Load) {
	path := at + ".load.session"
	if l.Session == nil || c.bad[path] {
		return
	}
	if turns := path + ".turns"; c.good(turns) && l.Session.Turns.Max() < 1 {
		c.wrong(turns, "a session has at least one turn")
	}
	if c.given(at + ".load.trace") {
		c.wrongKey(path, "does not go with a trace, whose rows are questions of their own")
	}
}
