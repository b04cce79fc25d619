package blob_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/store/blob"
)

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestNewKey(t *testing.T) {
	t.Parallel()
	a, b := blob.NewKey(sum), blob.NewKey(sum)
	if a == b {
		t.Fatalf("NewKey made %q twice", a)
	}
	got, salt, err := blob.SplitKey(a)
	if err != nil || got != sum || sum+"/"+salt != a {
		t.Fatalf("SplitKey(%q) = %q, %q, %v", a, got, salt, err)
	}
}

func FuzzSplitKey(f *testing.F) {
	for _, key := range []string{
		"", "/", "..", "../../etc/passwd", sum, sum + "/", sum + "/..", "/" + sum, strings.ToUpper(blob.NewKey(sum)),
		blob.NewKey(sum), blob.NewKey(sum) + "/..", blob.NewKey(sum) + "\x00", sum + "\\" + strings.Repeat("a", 32),
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		sha, salt, err := blob.SplitKey(key)
		if err != nil {
			if sha != "" || salt != "" {
				t.Fatalf("SplitKey(%q) gave %q, %q beside its error", key, sha, salt)
			}
			return
		}
		if sha+"/"+salt != key {
			t.Fatalf("SplitKey(%q) = %q, %q: not its parts", key, sha, salt)
		}
		if len(sha) != 64 || len(salt) != 32 || strings.Trim(sha+salt, "0123456789abcdef") != "" {
			t.Fatalf("SplitKey(%q) let something other than hex through", key)
		}
	})
}
