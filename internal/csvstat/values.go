package csvstat

import (
	"cmp"
	"slices"
	"strings"

	"github.com/axiomhq/hyperloglog"
)

// distinctError is the relative standard error of the distinct values of a large column: 1.04/√2¹⁴.
const distinctError = 0.0081

// topValues are shown of a column; a wide table shows fewer, so that the answer stays small.
func topValues(columns int) int {
	if columns > wide {
		return 5
	}
	return 10
}

// values counts how often each value of a column occurs: all of them while they are few, then the frequent ones.
//
// When the table of counted values is full its rare ones are dropped, and missed remembers the highest count that was lost with one. A value
// counted anew may have been dropped before, so its count is too low by at most missed; a value that is not in the table occurred at most
// missed times. This is the bound of Misra and Gries, and it merges.
type values struct {
	shown   int
	limit   int
	byHash  map[uint64]int // into counted
	counted []counted
	missed  int64
	sketch  *hyperloglog.Sketch // from the first drop on
}

type counted struct {
	value  string // cut
	hash   uint64
	n      int64
	missed int64 // before it was counted anew, at most
	cut    bool
}

// newValues shares the memory for counted values among the columns.
func newValues(columns int) values {
	return values{shown: topValues(columns), limit: min(max((1<<16)/columns, 64), 1<<14), byHash: make(map[uint64]int)}
}

func (v *values) add(hash uint64, value string) {
	if v.sketch != nil {
		v.sketch.InsertHash(hash)
	}
	if i, ok := v.byHash[hash]; ok {
		v.counted[i].n++
		return
	}
	if len(v.counted) >= v.limit {
		v.drop(hash)
	}
	shown, cut := cutText(value)
	v.byHash[hash] = len(v.counted)
	v.counted = append(v.counted, counted{value: strings.Clone(shown), hash: hash, n: 1, missed: v.missed, cut: cut})
}

// drop keeps the most frequent quarter. The first time, all hashes go into the sketch, with next, which is about to be counted.
func (v *values) drop(next uint64) {
	if v.sketch == nil {
		v.sketch = hyperloglog.New14()
		for _, c := range v.counted {
			v.sketch.InsertHash(c.hash)
		}
		v.sketch.InsertHash(next)
	}
	slices.SortFunc(v.counted, func(a, b counted) int { return cmp.Compare(b.n+b.missed, a.n+a.missed) })
	keep := v.limit / 4
	v.missed = max(v.missed, v.counted[keep].n+v.counted[keep].missed)
	clear(v.counted[keep:])
	v.counted = v.counted[:keep]
	clear(v.byHash)
	for i, c := range v.counted {
		v.byHash[c.hash] = i
	}
}

func (v *values) summarize(c *Column) {
	c.Distinct = int64(len(v.counted))
	if v.sketch != nil {
		c.Distinct = int64(v.sketch.Estimate())
		c.DistinctError, c.TopError = distinctError, v.missed
	}
	slices.SortFunc(v.counted, func(a, b counted) int {
		return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.value, b.value), cmp.Compare(a.hash, b.hash))
	})
	c.Top = make([]TopValue, 0, v.shown)
	for _, top := range v.counted[:min(len(v.counted), v.shown)] {
		if top.n < v.missed {
			break // as likely as not it is no more frequent than others that are not counted
		}
		c.Top = append(c.Top, TopValue{Value: top.value, Count: top.n, Cut: top.cut})
	}
}
