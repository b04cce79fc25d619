// A form made from a JSON Schema, read back as params. A control's name is its JSON pointer in the request, which is also
// how the server names a wrong value.
import { html } from './html.js';
import { chosen, fallback, fields, highest, lowest, options, same } from './schema.js';
import { number } from './format.js';

const firstFields = 6; // shown at once; the rest waits under "More options"

/**
 * form renders the controls of a params schema.
 * @param {any} schema @param {any} values to begin with, over the defaults
 */
export function form(schema, values = {}) {
	const list = fields(schema, '/params');
	const plain = list.filter((field) => field.required || !['object', 'json'].includes(field.kind));
	const first = plain.slice(0, Math.max(firstFields, plain.filter((field) => field.required).length));
	const rest = list.filter((field) => !first.includes(field));
	if (!list.length) return html`<p class="quiet">This task has no options.</p>`;
	return html`
		<div class="fields">${first.map((field) => control(field, values[field.name]))}</div>
		${rest.length > 0 && html`
			<details class="more" open=${Object.keys(chosen(values, rest)).length > 0}>
				<summary>More options <span class="count">${rest.length}</span></summary>
				<div class="fields">${rest.map((field) => control(field, values[field.name]))}</div>
			</details>`}`;
}

const idOf = (pointer) => `f${pointer.replace(/[^A-Za-z0-9_]/g, '-')}`;

function control(field, value) {
	if (field.kind === 'object') return group(field, field.fields.map((inner) => control(inner, value?.[inner.name])));
	if (field.kind === 'set') return group(field, boxes(field, value ?? fallback(field) ?? []));
	const id = idOf(field.pointer);
	const attributes = { id, help: `${id}-help ${id}-error`, value: value ?? fallback(field) };
	const check = field.kind === 'boolean';
	return html`
		<div class=${`field ${check ? 'check' : ''} ${field.kind === 'json' || field.kind === 'lines' ? 'wide' : ''}`} data-field=${field.pointer}>
			${check && input(field, attributes)}
			<label for=${id}>${field.label}${field.required && html` <span class="quiet">(required)</span>`}</label>
			${!check && input(field, attributes)}
			${hints(field, id)}
		</div>`;
}

function group(field, content) {
	const id = idOf(field.pointer);
	return html`
		<fieldset class="field wide" data-field=${field.pointer} aria-describedby=${`${id}-help ${id}-error`}>
			<legend>${field.label}</legend>
			${hints(field, id)}
			<div class=${field.kind === 'set' ? 'boxes' : 'fields'}>${content}</div>
		</fieldset>`;
}

const boxes = (field, value) => options(field.schema).map((option) => html`
	<label class="box"><input type="checkbox" name=${field.pointer} value=${JSON.stringify(option)} checked=${value.some((v) => same(v, option))}> ${option}</label>`);

const hints = (field, id) => html`
	<p class="help" id=${`${id}-help`}>${[field.schema.description, range(field)].filter(Boolean).join(' ')}</p>
	<p class="error" id=${`${id}-error`}></p>`;

function range({ kind, schema }) {
	if (kind !== 'number') return '';
	const [low, high] = [lowest(schema), highest(schema)];
	if (low > -Infinity && high < Infinity) return `${number(low)} to ${number(high)}.`;
	return low > -Infinity && low !== 0 ? `At least ${number(low)}.` : high < Infinity ? `At most ${number(high)}.` : '';
}

function input({ kind, pointer, schema, required }, { id, help, value }) {
	const [low, high] = [lowest(schema), highest(schema)];
	switch (kind) {
		case 'boolean':
			return html`<input type="checkbox" id=${id} name=${pointer} aria-describedby=${help} checked=${value === true}>`;
		case 'enum':
			return html`<select id=${id} name=${pointer} required=${required} aria-describedby=${help}>
				${schema.default == null && html`<option value="">${required ? 'Choose…' : 'Automatic'}</option>`}
				${options(schema).filter((option) => option !== '').map((option) => html`<option value=${JSON.stringify(option)} selected=${same(option, value)}>${option}</option>`)}
			</select>`;
		case 'number':
			return html`<input type="number" id=${id} name=${pointer} required=${required} aria-describedby=${help} value=${value}
				min=${low > -Infinity && low} max=${high < Infinity && high} step=${schema.multipleOf ?? (schema.type === 'integer' ? 1 : 'any')}>`;
		case 'string':
			return html`<input type="text" id=${id} name=${pointer} required=${required} aria-describedby=${help} value=${value}
				minlength=${schema.minLength} maxlength=${schema.maxLength} pattern=${schema.pattern} autocomplete="off" spellcheck="false">`;
		case 'lines':
			return html`<textarea id=${id} name=${pointer} required=${required} rows="3" aria-describedby=${help} placeholder="One per line" .value=${(value ?? []).join('\n')}></textarea>`;
		default:
			return html`<textarea id=${id} name=${pointer} required=${required} rows="3" aria-describedby=${help} placeholder="JSON" spellcheck="false" class="mono" .value=${value === undefined ? '' : JSON.stringify(value, null, 2)}></textarea>`;
	}
}

/**
 * read takes the params out of a form, without what equals the default. Wrong values are shown at their fields.
 * @param {HTMLFormElement} element
 * @returns {any} the params, or null when something is wrong
 */
export function read(element, schema) {
	const problems = [];
	const params = readFields(element, fields(schema, '/params'), problems);
	for (const control of element.elements) {
		if (control.name?.startsWith('/params') && !control.checkValidity()) problems.push({ pointer: control.name, detail: control.validationMessage });
	}
	return showErrors(element, problems) ? null : params;
}

function readFields(element, list, problems) {
	const params = {};
	for (const field of list) {
		const value = field.kind === 'object' ? readFields(element, field.fields, problems) : readField(element, field, problems);
		if (value === undefined || same(value, fallback(field))) continue;
		if (field.kind === 'object' && !Object.keys(value).length) continue;
		params[field.name] = value;
	}
	return params;
}

function readField(element, { kind, pointer, schema }, problems) {
	const named = element.elements.namedItem(pointer);
	if (kind === 'set') {
		const ticked = [...element.querySelectorAll(`[name="${CSS.escape(pointer)}"]:checked`)].map((box) => JSON.parse(box.value));
		return ticked.length || schema.default?.length ? ticked : undefined;
	}
	if (kind === 'boolean') return named.checked;
	const text = named.value.trim();
	if (text === '') return undefined;
	switch (kind) {
		case 'number': return Number(text);
		case 'string': return text;
		case 'lines': return text.split('\n').map((line) => line.trim()).filter(Boolean);
		default:
			try {
				return JSON.parse(text);
			} catch {
				problems.push({ pointer, detail: 'This is no JSON.' });
			}
	}
}

/**
 * showErrors puts each problem at its field, or at the nearest field around it, clears the others and moves focus to the first.
 * @param {HTMLElement} root @param {{pointer: string, detail: string}[]} errors
 * @returns {{pointer: string, detail: string}[] | null} those without a field, null when there was no error at all
 */
export function showErrors(root, errors) {
	for (const field of root.querySelectorAll('[data-field].wrong')) mark(field, '');
	const homeless = errors.filter((error) => {
		const field = fieldAt(root, error.pointer);
		if (field) mark(field, error.detail);
		return !field;
	});
	const first = root.querySelector('.wrong');
	for (let at = first; at; at = at.parentElement?.closest('details')) if (at.localName === 'details') at.open = true;
	first?.querySelector('input, select, textarea, button')?.focus();
	return errors.length ? homeless : null;
}

function fieldAt(root, pointer) {
	for (let at = pointer; at.length > 1; at = at.slice(0, at.lastIndexOf('/'))) {
		const field = root.querySelector(`[data-field="${CSS.escape(at)}"]`);
		if (field) return field;
	}
	return null;
}

function mark(field, text) {
	field.classList.toggle('wrong', text !== '');
	const control = field.querySelector('input, select, textarea');
	if (text) control?.setAttribute('aria-invalid', 'true');
	else control?.removeAttribute('aria-invalid');
	const line = field.querySelector(':scope > .error');
	if (line) line.textContent = text && text.charAt(0).toUpperCase() + text.slice(1);
}
