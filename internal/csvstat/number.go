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
	whole   int64 // exact, when integer
	integer bool  // written without fraction and exponent, and an int64
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
			return number{float: float64(whole), whole: whole, integer: true}, true
		}
	}
	float, err := strconv.ParseFloat(s, 64)
	return number{float: float}, err == nil
}

// numbers gathers the moments and the distribution of a numeric column. Mean and deviation follow Welford, which stays exact where the sum of
// squares loses all its digits.
type numbers struct {
	n                  int64
	integers           bool
	mean, m2           float64
	min, max           float64
	minWhole, maxWhole int64
	spread             spread
}

func newNumbers(columns int) numbers { return numbers{integers: true, spread: newSpread(columns)} }

func (s *numbers) add(v number) {
	if s.n++; s.n == 1 {
		s.min, s.max, s.minWhole, s.maxWhole = v.float, v.float, v.whole, v.whole
	}
	s.integers = s.integers && v.integer
	s.min, s.max = min(s.min, v.float), max(s.max, v.float)
	s.minWhole, s.maxWhole = min(s.minWhole, v.whole), max(s.maxWhole, v.whole)
	delta := v.float - s.mean
	s.mean += delta / float64(s.n)
	s.m2 += delta * (v.float - s.mean)
	s.spread.add(v.float)
}

func (s *numbers) summarize(c *Column) {
	if s.integers {
		c.Min = strconv.AppendInt(nil, s.minWhole, 10)
		c.Max = strconv.AppendInt(nil, s.maxWhole, 10)
	} else {
		c.Min, c.Max = encode(s.min), encode(s.max)
	}
	c.Mean = finite(s.mean)
	if s.n > 1 {
		c.StdDev = finite(math.Sqrt(s.m2 / float64(s.n-1)))
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
