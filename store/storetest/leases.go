package storetest

import "time"

func leaseTests() []test {
	return []test{
		{"one holder", testLead},
		{"goes on when it has run out", testLeadExpires},
		{"given back", testResign},
		{"one per name", testLeadNames},
	}
}

// lead asks for the lease for a minute and checks who has it.
func (f *fixture) lead(name, holder string, want bool) int64 {
	f.Helper()
	term, leads, err := f.Ledger.Lead(f.ctx, name, holder, time.Minute)
	f.must(err)
	if leads != want {
		f.Fatalf("Lead(%s, %s) = %v, want %v", name, holder, leads, want)
	}
	return term
}

func testLead(f *fixture) {
	first := f.lead("leader", "a", true)
	if first < 1 {
		f.Errorf("first term = %d, want 1 or more", first)
	}
	f.lead("leader", "b", false)
	if again := f.lead("leader", "a", true); again != first {
		f.Errorf("term after a renewal = %d, want %d", again, first)
	}
}

func testLeadExpires(f *fixture) {
	first := f.lead("leader", "a", true)
	f.Age(f, 40*time.Second)
	f.lead("leader", "a", true) // renewed: 40 s more are no end
	f.Age(f, 40*time.Second)
	f.lead("leader", "b", false)
	f.Age(f, 40*time.Second)
	if second := f.lead("leader", "b", true); second <= first {
		f.Errorf("term of the next holder = %d, want more than %d", second, first)
	}
	f.lead("leader", "a", false)
}

func testResign(f *fixture) {
	first := f.lead("leader", "a", true)
	f.must(f.Ledger.Resign(f.ctx, "leader", "b")) // not its holder
	f.lead("leader", "b", false)
	f.must(f.Ledger.Resign(f.ctx, "leader", "a"))
	f.must(f.Ledger.Resign(f.ctx, "leader", "a"))
	if second := f.lead("leader", "b", true); second <= first {
		f.Errorf("term of the next holder = %d, want more than %d", second, first)
	}
}

func testLeadNames(f *fixture) {
	f.lead("leader", "a", true)
	f.lead("refill", "b", true)
	f.lead("leader", "b", false)
}
