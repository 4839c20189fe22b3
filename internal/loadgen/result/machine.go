package result

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// ThisMachine describes the machine the program runs on.
func ThisMachine() Machine {
	m := Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0),
		Kernel:      strings.TrimSpace(readProc("/proc/sys/kernel/osrelease")),
		CPU:         procField(readProc("/proc/cpuinfo"), "model name"),
		MemoryBytes: memoryBytes(readProc("/proc/meminfo")),
	}
	m.Fingerprint = m.fingerprint()
	return m
}

// fingerprint hashes what makes two machines differ for a measurement. Memory
// counts in whole GiB: the kernel keeps a little more or less for itself at
// each boot.
func (m Machine) fingerprint() string {
	m.Fingerprint = ""
	const gib = 1 << 30
	m.MemoryBytes = (m.MemoryBytes + gib/2) / gib * gib
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and integers always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// ThisBuild describes the running program.
func ThisBuild() Build {
	b := Build{Version: "devel", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	return b
}

// readProc returns a file of /proc, or nothing where there is none.
func readProc(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// procField returns the first value of "key : value" lines.
func procField(text, key string) string {
	for line := range strings.Lines(text) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func memoryBytes(meminfo string) int64 {
	kb, err := strconv.ParseInt(strings.TrimSuffix(procField(meminfo, "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}
