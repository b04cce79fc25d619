package boot

import (
	"testing"
	"testing/fstest"
)

// The share of a process must not depend on the cores where the person said how many processes there are.
func TestMemoryIsSharedByAllProcesses(t *testing.T) {
	t.Parallel()
	none := func(string) string { return "" }
	for _, tt := range []struct {
		name        string
		role        Role
		some, twice Config
	}{
		{"serve", Serve, Config{Workers: 1}, Config{Workers: 2}},
		{"worker", Workers, Config{Processes: 1}, Config{Processes: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []*Config{&tt.some, &tt.twice} {
				c.DataDir, c.CPU, c.IO = t.TempDir(), 1, 1
				c.RedisURL, c.Database = "redis://127.0.0.1:1/0", "postgres://127.0.0.1:1/x"
				if err := c.validate(tt.role, none); err != nil {
					t.Fatal(err)
				}
			}
			const machine = 4 << 30
			if one, two := shareOf(machine, tt.some), shareOf(machine, tt.twice); one != machine/2 || two != one/2 {
				t.Errorf("budget of one process = %d, of each of two = %d: want half of %d, shared", one, two, machine)
			}
			if least := shareOf(1<<20, tt.twice); least != minMemory {
				t.Errorf("budget on a tiny machine = %d, want the least that is taken as a setting", least)
			}
		})
	}
}

func TestMemoryOfTheContainer(t *testing.T) {
	t.Parallel()
	const machine = 8192000 << 10
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 0},
		{"a machine", map[string]string{"proc/meminfo": "MemTotal:        8192000 kB\nMemFree: 1 kB\n"}, machine},
		{"version 2, its own root", map[string]string{
			"proc/meminfo": "MemTotal: 8192000 kB\n", "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		{"version 2, without a limit", map[string]string{
			"proc/meminfo": "MemTotal: 8192000 kB\n", "proc/self/cgroup": "0::/user.slice/a\n", "sys/fs/cgroup/user.slice/a/memory.max": "max\n"}, machine},
		{"version 2, a service in a slice that has less", map[string]string{
			"proc/meminfo": "MemTotal: 8192000 kB\n", "proc/self/cgroup": "0::/system.slice/millrace.service\n",
			"sys/fs/cgroup/system.slice/millrace.service/memory.max": "2147483648\n", "sys/fs/cgroup/system.slice/memory.max": "1073741824\n"}, 1 << 30},
		{"version 2, slowed down before the end", map[string]string{
			"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "2147483648\n", "sys/fs/cgroup/a/memory.high": "1073741824\n"}, 1 << 30},
		{"version 1", map[string]string{
			"proc/meminfo": "MemTotal: 8192000 kB\n", "proc/self/cgroup": "5:cpu,cpuacct:/b\n4:hugetlb,memory:/a\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "536870912\n",
			"sys/fs/cgroup/memory/b/memory.limit_in_bytes": "1\n"}, 512 << 20},
		{"version 1, the path is the host's", map[string]string{
			"proc/meminfo": "MemTotal: 8192000 kB\n", "proc/self/cgroup": "4:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n"}, 512 << 20},
		{"a limit beyond the machine", map[string]string{
			"proc/meminfo": "MemTotal: 8192000 kB\n", "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "999999999999\n"}, machine},
		{"nonsense", map[string]string{
			"proc/meminfo": "MemTotal: lots\n", "proc/self/cgroup": "0:\n\x00::../../..\n:::\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := memoryUnder(root); got != tt.want {
				t.Errorf("memory = %d, want %d", got, tt.want)
			}
		})
	}
}
