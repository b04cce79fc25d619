package media_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/media"
)

func TestContentType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, head, want string }{
		{"empty", "", "text/plain; charset=utf-8"},
		{"jpeg", "\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"},
		{"png", "\x89PNG\r\n\x1a\n", "image/png"},
		{"webp", "RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"},
		{"avif", "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1", "image/avif"},
		{"mp4 is not avif", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"},
		{"gzip", "\x1f\x8b\x08", "application/gzip"},
		{"zstd", "\x28\xb5\x2f\xfd\x04", "application/zstd"},
		{"text", "hello", "text/plain; charset=utf-8"},
		{"html is told", "<html><script>", "text/html; charset=utf-8"},
		{"anything", "\x00\x01\x02\xfe", "application/octet-stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := media.ContentType([]byte(tt.head)); got != tt.want {
				t.Errorf("ContentType(%q) = %q, want %q", tt.head, got, tt.want)
			}
		})
	}
}

func TestCleanName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"photo.jpg", "photo.jpg"},
		{"../../etc/passwd", "passwd"},
		{`C:\Users\x\photo.jpg`, "photo.jpg"},
		{"..", "file"},
		{"", "file"},
		{"a\x00b\nc.txt", "abc.txt"},
		{"evil\u202Egpj.exe", "evilgpj.exe"},
		{"bad\xffutf8", "badutf8"},
		{"naïve 文件.txt", "naïve 文件.txt"},
		{"/", "file"},
	} {
		if got := media.CleanName(tt.in); got != tt.want {
			t.Errorf("CleanName(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("a/b\\c.txt")
	f.Add(strings.Repeat("ü", 300) + ".jpeg")
	f.Fuzz(func(t *testing.T, in string) {
		got := media.CleanName(in)
		if got == "" || len(got) > media.MaxName || !utf8.ValidString(got) || strings.ContainsAny(got, "/\\\x00\n") {
			t.Errorf("CleanName(%q) = %q", in, got)
		}
		if again := media.CleanName(got); again != got {
			t.Errorf("CleanName(%q) = %q, and again %q", in, got, again)
		}
	})
}
