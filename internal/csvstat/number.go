package csvstat

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// number is a value of a numeric column.
type number struct {
	float   float64
	integer bool  // written without fraction and exponent
	whole   int64 // exact, when fits
	fits    bool  // an integer that is an int64
}

// parseNumber reads a decimal number, blanks around it allowed. NaN, infinities, hexadecimal, underscores, digits of other scripts and what a
// float64 cannot hold are text.
func parseNumber(s string) (number, bool) {
	if s[0] == ' ' || s[len(s)-1] == ' ' {
		s = strings.Trim(s, " ")
	}
	if len(s) == 0 || len(s) > 400 {
		return number{}, false
	}
	integer := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '-' || c == '+':
		case c == '.' || c == 'e' || c == 'E':
			integer = false
		default:
			return number{}, false
		}
	}
	if integer {
		if whole, err := strconv.ParseInt(s, 10, 64); err == nil {
			return number{float: float64(whole), integer: true, whole: whole, fits: true}, true
		}
	}
	float, err := strconv.ParseFloat(s, 64)
	return number{float: float, integer: integer}, err == nil
}

// numbers gathers the moments and the distribution of a numeric column. Mean and deviation follow Welford, who keeps digits where the sum of
// squares loses them all. Both are sums of two floats: near 2⁵³ a float64 mean alone is off by as much as the values deviate from it.
type numbers struct {
	n                  int64
	integers, fit      bool // all of them so far
	mean, m2           twofold
	min, max           float64
	minWhole, maxWhole int64
	spread             spread
}

func newNumbers(columns int) numbers {
	return numbers{integers: true, fit: true, spread: newSpread(columns)}
}

func (s *numbers) add(v number) {
	if s.n++; s.n == 1 {
		s.min, s.max, s.minWhole, s.maxWhole = v.float, v.float, v.whole, v.whole
	}
	s.integers, s.fit = s.integers && v.integer, s.fit && v.fits
	s.min, s.max = min(s.min, v.float), max(s.max, v.float)
	s.minWhole, s.maxWhole = min(s.minWhole, v.whole), max(s.maxWhole, v.whole)
	delta := s.mean.from(v.float)
	s.mean.add(delta / float64(s.n))
	s.m2.add(delta * s.mean.from(v.float))
	s.spread.add(v.float)
}

// twofold is a number of about 106 bits: the sum of a float and of what was lost when it was rounded.
type twofold struct{ high, low float64 }

// add adds v without loss in the high part (Knuth's two-sum).
func (t *twofold) add(v float64) {
	sum := t.high + v
	part := sum - t.high
	t.low += (t.high - (sum - part)) + (v - part)
	t.high = sum
}

// from is v − t.
func (t *twofold) from(v float64) float64 { return (v - t.high) - t.low }

func (s *numbers) summarize(c *Column) {
	if s.fit {
		c.Min = strconv.AppendInt(nil, s.minWhole, 10)
		c.Max = strconv.AppendInt(nil, s.maxWhole, 10)
	} else {
		c.Min, c.Max = encode(s.min), encode(s.max)
	}
	mean := s.mean.high + s.mean.low
	c.Mean = finite(mean)
	if s.n > 1 {
		// About the mean as it is answered, rounded to a float64, as any computation in two passes has it.
		off := s.mean.from(mean)
		c.StdDev = finite(math.Sqrt((s.m2.high + s.m2.low + float64(s.n)*off*off) / float64(s.n-1)))
	}
	s.spread.summarize(c, s.n, s.min, s.max)
}

func encode(f float64) json.RawMessage {
	raw, _ := json.Marshal(f) // never fails: parseNumber lets finite values through only
	return raw
}

// finite is nil for what JSON cannot say: sums of values near the end of the range overflow.
func finite(f float64) *float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return &f
}
