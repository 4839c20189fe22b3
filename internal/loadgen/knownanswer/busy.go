package knownanswer

import (
	"context"
	"runtime"
	"sync"
)

// Busy occupies n cores with work that yields nothing until ctx ends, and lets
// the process run on as many more threads, so that the system's scheduler and
// not Go's decides who waits. It returns when the last loop has ended.
func Busy(ctx context.Context, n int) {
	if n <= 0 {
		return
	}
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + n)
	defer runtime.GOMAXPROCS(before)
	var loops sync.WaitGroup
	for range n {
		loops.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for ctx.Err() == nil {
				for x := uint32(1); x%(1<<16) != 0; x++ { // some 50 µs between two looks at ctx
					continue
				}
			}
		})
	}
	loops.Wait()
}
