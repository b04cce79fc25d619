// Markup from tagged templates. Only the literal parts of a template are ever parsed as HTML; values become text nodes,
// nodes or whole attributes, so nothing that came from a server or a user can turn into markup.

/** @typedef {Node|string|number|boolean|null|undefined|Iterable<any>} Content */

const policy = globalThis.trustedTypes?.createPolicy('millrace', { createHTML: (text) => text }) ?? { createHTML: (text) => text };
const compiled = new WeakMap();
const hole = 'data-hole-';

/**
 * html`<li class=${name}>${text}</li>` makes a fragment. Attributes take a whole value, unquoted: null, undefined and
 * false leave the attribute out, true sets it empty; .name=${v} sets the property instead.
 * @returns {DocumentFragment}
 */
export function html(strings, ...values) {
	return make(strings, values, (text) => text);
}

/** svg is html for what stands inside an <svg>, where elements have another namespace. */
export function svg(strings, ...values) {
	const fragment = make(strings, values, (text) => `<svg>${text}</svg>`);
	fragment.replaceChildren(...fragment.firstChild.childNodes);
	return fragment;
}

function make(strings, values, wrap) {
	let template = compiled.get(strings);
	if (!template) compiled.set(strings, (template = compile(strings, wrap)));
	const fragment = document.importNode(template.content, true);
	fill(fragment, values);
	return fragment;
}

function compile(strings, wrap) {
	if (!strings.raw) throw new TypeError('html is a template tag: html`…`');
	let text = strings[0];
	for (let i = 1; i < strings.length; i++) {
		if (text.lastIndexOf('<') > text.lastIndexOf('>')) {
			const named = /\s([^\s"'<>=]+)=$/.exec(text);
			if (!named) throw new SyntaxError(`html: a value may only stand for a whole, unquoted attribute: ${text.slice(-40)}`);
			text = `${text.slice(0, -named[1].length - 1)}${hole}${i - 1}="${named[1]}"`;
		} else text += `<!--${hole}${i - 1}-->`;
		text += strings[i];
	}
	const template = document.createElement('template');
	template.innerHTML = policy.createHTML(wrap(text.replace(/^\s*\n\s*|\s*\n\s*$/g, '')));
	return template;
}

function fill(fragment, values) {
	const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT);
	const found = [];
	while (walker.nextNode()) found.push(walker.currentNode);
	for (const node of found) {
		if (node instanceof Element) fillAttributes(node, values);
		else if (node.data.startsWith(hole)) node.replaceWith(...nodes(values[node.data.slice(hole.length)]));
	}
}

function fillAttributes(element, values) {
	for (const { name, value } of [...element.attributes]) {
		if (!name.startsWith(hole)) continue;
		element.removeAttribute(name);
		const given = values[name.slice(hole.length)];
		if (value.startsWith('.')) element[value.slice(1)] = given;
		else if (given === true) element.setAttribute(value, '');
		else if (given !== false && given != null) element.setAttribute(value, safe(value, String(given)));
	}
}

/** A value can name a place to go, never a script: handlers are listeners, styles are classes. */
function safe(name, value) {
	if (/^(on|style$|srcdoc$)/i.test(name)) throw new TypeError(`html: ${name} takes no value`);
	if (/^(href|src|action|formaction)$/i.test(name) && /^(?!https?:|blob:)[^/?#]*:/i.test(value.trim())) return '#';
	return value;
}

/** @param {Content} value */
function nodes(value) {
	if (value == null || value === false || value === true) return [];
	if (value instanceof Node) return [value];
	if (typeof value === 'object') return [...value].flatMap(nodes);
	return [document.createTextNode(String(value))];
}

/**
 * show makes parent hold content and keeps what is already right: focus, scroll position, loaded pictures and what
 * somebody has typed survive an update. Children with the same data-key are the same thing wherever they stand.
 * @param {Element} parent
 * @param {DocumentFragment} content
 */
export function show(parent, content) {
	const keyed = new Map([...parent.children].filter(key).map((child) => [key(child), child]));
	let at = parent.firstChild;
	for (const next of [...content.childNodes]) {
		const match = key(next) ? keyed.get(key(next)) : at && !key(at) && at.nodeName === next.nodeName ? at : null;
		if (!match) parent.insertBefore(next, at);
		else {
			if (match === at) at = at.nextSibling;
			else parent.insertBefore(match, at);
			morph(match, next);
		}
	}
	while (at) {
		const gone = at;
		at = at.nextSibling;
		gone.remove();
	}
}

const key = (node) => node.dataset?.key;

/** Custom elements and islands look after their own content; whether <details> is open is the reader's choice. */
function morph(old, next) {
	if (old.nodeType !== Node.ELEMENT_NODE) {
		if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
		return;
	}
	for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
	for (const { name, value } of next.attributes) {
		if (old.getAttribute(name) !== value && (name !== 'open' || !old.hasAttribute('data-key'))) old.setAttribute(name, value);
	}
	if (!old.localName.includes('-') && !old.hasAttribute('data-island')) show(old, next);
}
