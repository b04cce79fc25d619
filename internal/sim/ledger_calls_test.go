package sim_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/store"
)

// A contract that grows must not have calls that no fault ever meets.
func TestEveryCallMeetsFaults(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, name := range []string{"ledger_test.go", "ledger_worker_test.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	for method := range reflect.TypeFor[store.Ledger]().Methods() {
		if !strings.Contains(source.String(), "func (l *ledger) "+method.Name+"(") {
			t.Errorf("the ledger of the simulation passes %s through without faults", method.Name)
		}
	}
}
