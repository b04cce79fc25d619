package jobspec

// Plain is the quick decoder.
func Plain(doc []byte, r *Request) bool { return r.plain(doc) }
