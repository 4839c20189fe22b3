package edge

import "fmt"

// SetBootFault switches on or off that workers of a function start. Switched on, it
// also retires those that live, so that the next request meets it: 503 BOOT_ERROR.
// The error is a function that is not served.
func (s *Server) SetBootFault(function string, on bool) error {
	for _, p := range s.pools {
		if p.name == function {
			p.setFault(on)
			return nil
		}
	}
	return fmt.Errorf("boot fault: no function %q is served", function)
}

func (p *pool) setFault(on bool) {
	p.mu.Lock()
	defer p.unlock()
	p.fault = on
	if !on {
		return
	}
	for w := range p.live {
		if w.state == booting {
			continue // it meets the fault when it has booted, if that is still on
		}
		w.retire("the boot fault was switched on")
		w.dropIfIdle()
	}
}

func (p *pool) faulty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}
