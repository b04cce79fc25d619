package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestModules calls single modules in the browser that runs them.
func TestModules(t *testing.T) {
	browser := startBrowser(t)
	b := openTab(t, browser, newFakeAPI(t), look{width: 1280, height: 900})
	b.open("/jobs")
	b.waitText(".empty", "No jobs yet")
	for name, check := range map[string]func(*testing.T, *tab){
		"templates escape": templatesEscape, "templates refuse": templatesRefuse, "updates keep what is there": updatesKeep,
		"form from schema": formFromSchema, "form reads back": formReadsBack, "format": formats, "shell lines": shellLines,
	} {
		t.Run(name, func(t *testing.T) { check(t, b) })
	}
}

// call runs the body of an async function with the exports of a module in scope and returns its value as JSON.
func (b *tab) call(module, body string) string {
	b.Helper()
	prefix := path.Dir(eval[string](b, `document.querySelector("script[type=module]").getAttribute("src")`))
	return eval[string](b, fmt.Sprintf(`(async () => { const m = await import(%q); return JSON.stringify(await (async () => { %s })()) ?? 'undefined'; })()`, prefix+"/"+module, body))
}

type scriptCase struct{ name, body, want string }

func (b *tab) check(t *testing.T, module string, cases []scriptCase) {
	t.Helper()
	for _, c := range cases {
		if got := b.call(module, c.body); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.body, got, c.want)
		}
	}
}

func templatesEscape(t *testing.T, b *tab) {
	holder := "const e = document.createElement('div'); const evil = '<img src=x onerror=\"window.hit=1\">'; "
	b.check(t, "lib/html.js", []scriptCase{
		{"text", holder + "e.append(m.html`<p>${evil}</p>`); return [e.textContent, e.querySelector('img')];", `["<img src=x onerror=\"window.hit=1\">",null]`},
		{"attribute", holder + "e.append(m.html`<p title=${evil + '\"'}>x</p>`); return [e.firstChild.title.length, e.querySelector('img')];", `[35,null]`},
		{"list", holder + "e.append(m.html`<ul>${[1, evil, null, false, m.html`<li>${2}</li>`]}</ul>`); return e.querySelectorAll('li').length + ' ' + e.textContent.length;", `"1 36"`},
		{"left out", holder + "e.append(m.html`<input required=${false} value=${null} disabled=${true} min=${0}>`); return e.innerHTML;", `"<input disabled=\"\" min=\"0\">"`},
		{"property", holder + "e.append(m.html`<textarea .value=${evil}></textarea>`); return e.firstChild.value === evil;", `true`},
		{"svg", holder + "e.append(m.html`<svg>${m.svg`<rect x=${1.5}></rect>`}</svg>`); const r = e.querySelector('rect'); return [r.namespaceURI, r.getAttribute('x')];", `["http://www.w3.org/2000/svg","1.5"]`},
	})
	if eval[bool](b, "'hit' in window") {
		t.Error("a value ran as a script")
	}
}

func templatesRefuse(t *testing.T, b *tab) {
	tried := func(template string) string {
		return "try { m.html`" + template + "`; return 'taken'; } catch (e) { return e.name; }"
	}
	b.check(t, "lib/html.js", []scriptCase{
		{"handler", tried("<p onclick=${'x'}></p>"), `"TypeError"`},
		{"style", tried("<p style=${'x'}></p>"), `"TypeError"`},
		{"srcdoc", tried("<iframe srcdoc=${'x'}></iframe>"), `"TypeError"`},
		{"quoted", tried(`<p title="${'x'}"></p>`), `"SyntaxError"`},
		{"part", tried("<p class=a-${'x'}></p>"), `"SyntaxError"`},
		{"tag", tried("<${'p'}></p>"), `"SyntaxError"`},
		{"a string", "try { m.html('<b>x</b>'); return 'taken'; } catch (e) { return e.name; }", `"TypeError"`},
		{"script link", "return ['javascript:alert(1)', ' JavaScript:x', 'data:text/html,x', '/jobs', 'https://a.example/', '#x', '?q=a:b', 'blob:http://h/1'].map((u) => m.html`<a href=${u}>x</a>`.firstChild.getAttribute('href'));",
			`["#","#","#","/jobs","https://a.example/","#x","?q=a:b","blob:http://h/1"]`},
	})
}

func updatesKeep(t *testing.T, b *tab) {
	b.check(t, "lib/html.js", []scriptCase{
		{"typed text and focus", `const e = document.createElement('div'); document.body.append(e);
			const draw = (n) => m.show(e, m.html` + "`<p>${n}</p><input name=a class=${'c' + n}>`" + `);
			draw(1); const input = e.querySelector('input'); input.value = 'typed'; input.focus(); draw(2);
			const same = [e.querySelector('input') === input, input.value, document.activeElement === input, input.className, e.textContent]; e.remove(); return same;`,
			`[true,"typed",true,"c2","2"]`},
		{"keys move", `const e = document.createElement('ul');
			const draw = (...keys) => m.show(e, m.html` + "`${keys.map((k) => m.html`<li data-key=${k}>${k}</li>`)}`" + `);
			draw('a', 'b', 'c'); const a = e.children[0], c = e.children[2]; draw('c', 'x', 'a');
			return [e.textContent, e.children[0] === c, e.children[2] === a];`, `["cxa",true,true]`},
		{"opened details stay open", `const e = document.createElement('div');
			const draw = (n) => m.show(e, m.html` + "`<details data-key=\"d\"><summary>s</summary>${n}</details>`" + `);
			draw(1); e.firstChild.open = true; draw(2); return [e.firstChild.open, e.textContent];`, `[true,"s2"]`},
		{"attributes leave", `const e = document.createElement('div'); m.show(e, m.html` + "`<p title=${'x'}>a</p>`" + `); m.show(e, m.html` + "`<p>b</p>`" + `); return e.innerHTML;`, `"<p>b</p>"`},
	})
}

// schema has a field of each kind that a form must know.
const schema = `const schema = { type: 'object', required: ['count'], $defs: { side: { type: 'string', enum: ['left', 'right'] } }, properties: {
	count: { type: 'integer', minimum: 1, maximum: 9, description: 'How many.' },
	ratio: { type: ['number', 'null'], exclusiveMinimum: 0, default: 0.5 },
	side: { $ref: '#/$defs/side', default: 'left' },
	maybe: { anyOf: [{ type: 'string', maxLength: 5 }, { type: 'null' }] },
	strict: { type: 'boolean', default: true },
	parts: { type: 'array', items: { enum: ['a', 'b', 'c'] }, default: ['a'] },
	names: { type: 'array', items: { type: 'string' } },
	box: { type: 'object', required: ['x'], properties: { x: { type: 'integer', minimum: 0 }, y: { type: 'integer' } } },
	free: { type: 'array', items: { type: 'object' } },
	'a/b~c': { const: 7 },
	later: { type: 'string', 'x-not-available': true },
} };
const f = document.createElement('form'); document.body.append(f); f.append(m.form(schema));
const at = (pointer) => f.elements.namedItem('/params/' + pointer);
`

func formFromSchema(t *testing.T, b *tab) {
	ask := func(body string) string { return schema + "try { " + body + " } finally { f.remove(); }" }
	b.check(t, "lib/form.js", []scriptCase{
		{"controls", ask("return [...new Set([...f.elements].filter((e) => e.name).map((e) => e.name.slice(8) + ':' + (e.type)))];"),
			`["count:number","ratio:number","side:select-one","maybe:text","strict:checkbox","parts:checkbox","names:textarea","box/x:number","box/y:number","free:textarea","a~1b~0c:select-one"]`},
		{"limits", ask("const c = at('count'); return [c.required, c.min, c.max, c.step, at('ratio').step, at('maybe').maxLength, at('box/x').required];"), `[true,"1","9","1","any",5,false]`},
		{"defaults", ask("return [at('ratio').value, at('side').value, at('strict').checked, [...f.querySelectorAll('[name=\"/params/parts\"]:checked')].length];"), `["0.5","\"left\"",true,1]`},
		{"labels", ask("return [...f.elements].filter((e) => e.name && !e.labels?.length).length;"), `0`},
		{"described", ask("return at('count').getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id)?.textContent);"), `["How many. 1 to 9.",""]`},
		{"nothing to choose", "const e = document.createElement('div'); e.append(m.form({ type: 'object' })); return e.textContent;", `"This task has no options."`},
	})
}

func formReadsBack(t *testing.T, b *tab) {
	ask := func(body string) string { return schema + "try { " + body + " } finally { f.remove(); }" }
	b.check(t, "lib/form.js", []scriptCase{
		{"required", ask("return [m.read(f, schema), f.querySelector('.wrong').dataset.field];"), `[null,"/params/count"]`},
		{"only what was chosen", ask("at('count').value = 3; return m.read(f, schema);"), `{"count":3}`},
		{"each kind", ask(`at('count').value = 3; at('ratio').value = 0.25; at('side').value = '"right"'; at('maybe').value = 'x'; at('strict').checked = false;
			f.querySelectorAll('[name="/params/parts"]')[2].checked = true; at('names').value = 'one\n\n two'; at('box/x').value = 0; at('box/y').value = -1; at('free').value = '[{"k":1}]';
			at('a~1b~0c').value = '7'; return m.read(f, schema);`),
			`{"count":3,"ratio":0.25,"side":"right","maybe":"x","strict":false,"parts":["a","c"],"names":["one","two"],"box":{"x":0,"y":-1},"free":[{"k":1}],"a/b~c":7}`},
		{"no JSON", ask("at('count').value = 3; at('free').value = '{'; return [m.read(f, schema), f.querySelector('.wrong').dataset.field];"), `[null,"/params/free"]`},
		{"errors find their fields", ask(`return [m.showErrors(f, [{ pointer: '/params/box/x', detail: 'a' }, { pointer: '/params/free/0/k', detail: 'b' }, { pointer: '/type', detail: 'c' }]),
			[...f.querySelectorAll('.wrong')].map((e) => e.dataset.field), f.querySelector('details').open, document.activeElement.name];`),
			`[[{"pointer":"/type","detail":"c"}],["/params/box/x","/params/free"],true,"/params/box/x"]`},
		{"no errors", ask("return m.showErrors(f, []);"), `null`},
	})
}

func formats(t *testing.T, b *tab) {
	b.check(t, "lib/format.js", []scriptCase{
		{"bytes", "return [0, 999, 1000, 56500, 999950, 1e6, 4294967296, 1e15].map(m.bytes);", `["0 B","999 B","1 kB","56.5 kB","1 MB","1 MB","4.29 GB","1 PB"]`},
		{"saved", "return [[100, 20], [100, 98.5], [100, 100], [100, 150], [0, 5]].map(([a, b]) => m.saved(a, b));", `["80 % smaller","1.5 % smaller","same size","50 % larger",""]`},
		{"duration", "return [0, 999, 1500, 61000, 3700000, NaN].map(m.duration);", `["0 ms","999 ms","1.5 s","1 min 1 s","1 h 1 min","–"]`},
		{"relative", "const now = Date.parse('2026-01-02T00:00:00Z'); return ['2026-01-01T23:59:58Z', '2026-01-01T23:59:00Z', '2026-01-01T21:00:00Z', '2026-01-04T00:00:00Z'].map((t) => m.relative(t, now));",
			`["just now","1 min ago","3 h ago","in 2 d"]`},
		{"number", "return [1234567, 0.123456789, 1e-9, null, 'text', 3.5].map(m.number);", `["1,234,567","0.12346","1.000e-9","–","text","3.5"]`},
		{"never", "return [null, undefined, '', '0001-01-01T00:00:00Z', '2026-01-01T00:00:00Z'].map(m.set);", `[false,false,false,false,true]`},
	})
}

// shellLines gives the page's lines to a real shell, with curl replaced by something that prints its arguments.
func shellLines(t *testing.T, b *tab) {
	for _, name := range []string{"photo.jpg", "it's $HOME `id` \\ \"q\".txt", "a;b,c.txt", "-o evil", "sp ace\nline.txt"} {
		encoded, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		var line string
		raw := b.call("lib/curl.js", fmt.Sprintf("return m.submit({ type: 'image.resize', params: { text: \"it's <b>$X\" }, name: %s }, 'http://h:1');", encoded))
		if err := json.Unmarshal([]byte(raw), &line); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(context.Background(), "sh", "-c", "curl() { for a; do printf '%s\\0' \"$a\"; done; }\n"+line)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		args := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		want := "file=@" + name
		if regexp.MustCompile(`[;,"\\]`).MatchString(name) {
			want = `file=@"` + regexp.MustCompile(`["\\]`).ReplaceAllString(name, `\$0`) + `"`
		}
		if len(args) != 8 || args[1] != "http://h:1/v1/jobs?wait=30s" || args[5] != `params={"text":"it's <b>$X"}` || args[7] != want {
			t.Errorf("the shell read %q as %q, want the file as %q", line, args, want)
		}
	}
}
