package engine

import (
	"os"
	"runtime"
	"testing"
)

const someStat = `cpu  615017 2021 246266 3598277 3563 0 28189 355 0 0
cpu0 100 10 50 800 20 5 10 5 3 1
cpu1 200 0 100 700 0 0 0 0 0 0
cpu10 1 1 1 1 1 1 1 93 0 0
intr 47293 0
ctxt 1234
`

func TestParseCPU(t *testing.T) {
	for _, tt := range []struct {
		allowed string
		want    cpuReading
	}{
		{"", cpuReading{total: 2100, stolen: 98}},
		{"Name:\tx\nCpus_allowed_list:\t0-1\n", cpuReading{total: 2000, stolen: 5}},
		{"Cpus_allowed_list:\t1,10\n", cpuReading{total: 1100, stolen: 93}},
		{"Cpus_allowed_list:\t2-9\n", cpuReading{}},
	} {
		if got := parseCPU(someStat, allowedCPUs(tt.allowed)); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.allowed, got, tt.want)
		}
	}
	a, b := cpuReading{total: 1000, stolen: 10}, cpuReading{total: 3000, stolen: 110}
	if got := b.stealSince(a); got != .05 {
		t.Errorf("share %v, want 0.05", got)
	}
	if got := a.stealSince(b); got != 0 {
		t.Errorf("share %v of a count that went back", got)
	}
}

func TestReadCPU(t *testing.T) {
	if runtime.GOOS != "linux" {
		if got := readCPU(); got != (cpuReading{}) {
			t.Errorf("%+v without /proc", got)
		}
		return
	}
	if got := readCPU(); got.total == 0 || got.stolen > got.total {
		t.Errorf("%+v", got)
	}
}

func FuzzParseCPU(f *testing.F) {
	f.Add(someStat, "Cpus_allowed_list:\t0-1,10\n")
	f.Add("cpu0 1 2\ncpu 1\ncpu-1 1 1 1 1 1 1 1 1", "Cpus_allowed_list: -,5-,9-1")
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		f.Add(string(stat), "")
	}
	f.Fuzz(func(t *testing.T, stat, status string) {
		if r := parseCPU(stat, allowedCPUs(status)); r.stolen > r.total {
			t.Errorf("%+v", r)
		}
	})
}
