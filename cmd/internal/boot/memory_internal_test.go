package boot

import "testing"

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
			one, two := memoryBudget(tt.some), memoryBudget(tt.twice)
			if machineMemory() < 8*minBudget {
				t.Skip("the machine has too little memory, or does not say how much")
			}
			if two > one/2 {
				t.Errorf("budget of one process = %d, of each of two = %d: together more than there is", one, two)
			}
		})
	}
}
