package storetest

import "time"

func leaseTests() []test {
	return []test{
		{"one holder", testLead},
		{"goes on when it has run out", testLeadExpires},
		{"given back", testResign},
		{"one per name", testLeadNames},
		{"a term for each holder", testLeadTerms},
		{"a holder that comes back late", testLeadLate},
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

// testLeadTerms: whoever holds a number can tell all earlier holders by it.
func testLeadTerms(f *fixture) {
	last := int64(0)
	for i := range 12 {
		holder := string(rune('a' + i%3))
		term := f.lead("leader", holder, true)
		if term <= last {
			f.Fatalf("term of holder %d = %d, want more than %d", i, term, last)
		}
		if again := f.lead("leader", holder, true); again != term {
			f.Fatalf("term after a renewal = %d, want %d", again, term)
		}
		last = term
		if i%2 == 0 {
			f.must(f.Ledger.Resign(f.ctx, "leader", holder))
		} else {
			f.Age(f, 2*time.Minute)
		}
	}
	if term := f.lead("another", "a", true); term < 1 {
		f.Errorf("term of another lease = %d", term)
	}
}

// testLeadLate is a leader that was frozen: others led meanwhile, so its old term must not come back with it.
func testLeadLate(f *fixture) {
	first := f.lead("leader", "frozen", true)
	f.Age(f, 2*time.Minute)
	second := f.lead("leader", "b", true)
	f.lead("leader", "frozen", false)
	f.must(f.Ledger.Resign(f.ctx, "leader", "frozen")) // is not its own any more
	if again := f.lead("leader", "b", true); again != second {
		f.Errorf("term of the holder = %d, want %d", again, second)
	}
	f.Age(f, 2*time.Minute)
	if third := f.lead("leader", "frozen", true); third <= second || third <= first {
		f.Errorf("terms %d, %d, %d: want them to grow", first, second, third)
	}
}
