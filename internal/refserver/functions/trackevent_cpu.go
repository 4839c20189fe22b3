package functions

import (
	"hash/maphash"
	"time"
)

// burnStep is the CPU time of one step of a burner: limits strike between two.
const burnStep = time.Millisecond

// burner returns steps that use so much CPU time of the thread that they run on,
// which must be one and the same.
func burner(total time.Duration) (step func() (more bool)) {
	var begin time.Duration
	var block [4096]byte
	seed := maphash.MakeSeed()
	steps := 0
	return func() bool {
		if steps == 0 {
			begin = threadCPU()
		}
		steps++
		until := begin + min(time.Duration(steps)*burnStep, total)
		for threadCPU() < until {
			block[0] += byte(maphash.Bytes(seed, block[:]))
		}
		return threadCPU() < begin+total
	}
}
