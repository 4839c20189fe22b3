package rxtime

// ErrWait is what Read of a detached connection returns where it would have to
// wait. It is a temporary net.Error, by which crypto/tls takes up a
// record where it left it.
var ErrWait error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "the socket is not ready" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }
