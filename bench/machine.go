package bench

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A Machine is where the figures come from.
type Machine struct {
	OS         string   `json:"os"`
	Arch       string   `json:"arch"`
	Processor  string   `json:"processor,omitempty"`
	Cores      int      `json:"cores"` // that the program may use
	Go         string   `json:"go"`
	InMemory   bool     `json:"in_memory,omitempty"` // the data lies in memory: fsyncs cost nothing
	LoadBefore *float64 `json:"load_before,omitempty"`
	LoadAfter  *float64 `json:"load_after,omitempty"`
}

func machine(dir string) Machine {
	return Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Processor: processor(), Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		InMemory: inMemory(dir), LoadBefore: load(),
	}
}

// processor is the name that Linux has for it.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// load is the load average of the last minute, nil where nobody tells.
func load() *float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil
	}
	return &n
}
