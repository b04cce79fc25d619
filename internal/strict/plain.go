package strict

import "unicode/utf8"

// Plain walks the members of a JSON object, each with its name and its value as they stand there, and says whether it could. It is quick because it
// leaves everything unusual to Object: a document with an escape anywhere, or with anything wrong, is not plain, and neither is one that nests too
// deep or that member does not want. Then nothing that was seen on the way counts. What is plain is well-formed.
func Plain(doc []byte, member func(name, value []byte) bool) bool {
	if !utf8.Valid(doc) {
		return false
	}
	p := plain{doc: doc}
	return p.object(member, 1) && p.end()
}

// PlainStrings reads a JSON array of strings, a value that Plain has seen.
func PlainStrings(value []byte) (list []string, ok bool) {
	p := plain{doc: value}
	ok = p.array(func(item []byte) bool {
		s, ok := PlainString(item)
		list = append(list, s)
		return ok
	}, 1)
	if list == nil {
		list = []string{}
	}
	return list, ok && p.end()
}

// PlainString reads a JSON string, a value that Plain has seen.
func PlainString(value []byte) (s string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	return string(value[1 : len(value)-1]), true
}

// plain is a place in a document.
type plain struct {
	doc []byte
	at  int
}

func (p *plain) peek() byte {
	for ; p.at < len(p.doc); p.at++ {
		switch b := p.doc[p.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

func (p *plain) end() bool { return p.peek() == 0 && p.at == len(p.doc) }

// take steps over one byte if it comes next.
func (p *plain) take(b byte) bool {
	if p.peek() != b {
		return false
	}
	p.at++
	return true
}

func (p *plain) object(member func(name, value []byte) bool, depth int) bool {
	if depth > maxDepth || !p.take('{') {
		return false
	}
	if p.take('}') {
		return true
	}
	for {
		if p.peek() != '"' {
			return false
		}
		from := p.at
		if !p.text() {
			return false
		}
		name := p.doc[from+1 : p.at-1]
		if !p.take(':') {
			return false
		}
		p.peek()
		from = p.at
		if !p.value(depth) || member != nil && !member(name, p.doc[from:p.at]) {
			return false
		}
		if p.take('}') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

func (p *plain) array(item func(value []byte) bool, depth int) bool {
	if depth > maxDepth || !p.take('[') {
		return false
	}
	if p.take(']') {
		return true
	}
	for {
		p.peek()
		from := p.at
		if !p.value(depth) || item != nil && !item(p.doc[from:p.at]) {
			return false
		}
		if p.take(']') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

// value steps over any value inside of depth levels.
func (p *plain) value(depth int) bool {
	switch b := p.peek(); {
	case b == '"':
		return p.text()
	case b == '{':
		return p.object(nil, depth+1)
	case b == '[':
		return p.array(nil, depth+1)
	case b == 't':
		return p.word("true")
	case b == 'f':
		return p.word("false")
	case b == 'n':
		return p.word("null")
	default:
		return p.number()
	}
}

func (p *plain) word(w string) bool {
	if len(p.doc)-p.at < len(w) || string(p.doc[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

// text steps over a string without escapes.
func (p *plain) text() bool {
	for i := p.at + 1; i < len(p.doc); i++ {
		switch b := p.doc[i]; {
		case b == '"':
			p.at = i + 1
			return true
		case b == '\\' || b < ' ':
			return false
		}
	}
	return false
}

// number steps over a number as RFC 8259 section 6 has it.
func (p *plain) number() bool {
	if p.at < len(p.doc) && p.doc[p.at] == '-' {
		p.at++
	}
	if p.at < len(p.doc) && p.doc[p.at] == '0' {
		p.at++
	} else if !p.digits() {
		return false
	}
	if p.at < len(p.doc) && p.doc[p.at] == '.' {
		if p.at++; !p.digits() {
			return false
		}
	}
	if p.at < len(p.doc) && (p.doc[p.at] == 'e' || p.doc[p.at] == 'E') {
		if p.at++; p.at < len(p.doc) && (p.doc[p.at] == '+' || p.doc[p.at] == '-') {
			p.at++
		}
		return p.digits()
	}
	return true
}

func (p *plain) digits() bool {
	from := p.at
	for p.at < len(p.doc) && p.doc[p.at] >= '0' && p.doc[p.at] <= '9' {
		p.at++
	}
	return p.at > from
}
