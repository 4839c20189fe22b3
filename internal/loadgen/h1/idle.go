package h1

import (
	"slices"
	"sync"
)

// idle is the connections kept for later requests. The one used last is taken
// first, so that those too many grow old.
type idle struct {
	most int // for one origin

	mu   sync.Mutex
	kept map[origin][]*conn
}

// take returns a kept connection to an origin, or nil.
func (i *idle) take(to origin) *conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := i.kept[to]
	if len(kept) == 0 {
		return nil
	}
	last := len(kept) - 1
	c := kept[last]
	kept[last] = nil
	i.kept[to] = kept[:last]
	return c
}

// keep takes a connection for later, and answers whether there was room.
func (i *idle) keep(c *conn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.kept[c.to]) >= i.most {
		return false
	}
	if i.kept == nil {
		i.kept = make(map[origin][]*conn)
	}
	i.kept[c.to] = append(i.kept[c.to], c)
	return true
}

// forget drops a connection, which may have been taken meanwhile.
func (i *idle) forget(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := i.kept[c.to]
	if at := slices.Index(kept, c); at >= 0 {
		i.kept[c.to] = slices.Delete(kept, at, at+1)
	}
}
