// What a JSON Schema (2020-12) says about one value, in the few words that a form needs.

/** @typedef {{name: string, pointer: string, kind: string, schema: any, required: boolean, label: string, fields?: Field[]}} Field */

/**
 * fields lists a schema's properties as form fields, in the schema's order.
 * @param {any} schema of type object
 * @param {string} pointer of the object within the request, such as /params
 * @returns {Field[]} those within an optional object are never required: leaving all of them out is allowed
 */
export function fields(schema, pointer, root = schema) {
	const required = new Set(schema.required);
	return Object.entries(schema.properties ?? {}).filter(([, raw]) => !raw['x-not-available']).map(([name, raw]) => {
		const own = resolve(raw, root);
		const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
		const kind = kindOf(own);
		const field = { name, pointer: at, kind, schema: own, required: required.has(name) && root === schema, label: own.title ?? humane(name) };
		if (kind === 'object') field.fields = fields(own, at, root);
		return field;
	});
}

/** resolve follows local references and takes "T or null" for T: an absent field is how a form says null. */
function resolve(schema, root) {
	if (schema === true || schema == null) return {};
	if (schema.$ref?.startsWith('#/')) {
		const path = schema.$ref.slice(2).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
		return { ...resolve(path.reduce((at, part) => at?.[part], root), root), ...schema, $ref: undefined };
	}
	const choices = (schema.oneOf ?? schema.anyOf)?.filter((choice) => choice.type !== 'null');
	if (choices?.length === 1) return { ...resolve(choices[0], root), ...schema, oneOf: undefined, anyOf: undefined };
	if (Array.isArray(schema.type)) {
		const types = schema.type.filter((type) => type !== 'null');
		return { ...schema, type: types.length === 1 ? types[0] : undefined };
	}
	return schema;
}

/** kindOf picks the control. What no control fits is edited as JSON. */
function kindOf(schema) {
	if ('const' in schema || schema.enum) return 'enum';
	if (schema.oneOf || schema.anyOf) return 'json';
	if (schema.type === 'object') return schema.properties ? 'object' : 'json';
	if (schema.type === 'array') {
		if (schema.items?.enum) return 'set';
		return schema.items?.type === 'string' ? 'lines' : 'json';
	}
	return { boolean: 'boolean', integer: 'number', number: 'number', string: 'string' }[schema.type] ?? 'json';
}

/** options of an enum or a set. */
export const options = (schema) => schema.items?.enum ?? schema.enum ?? [schema.const];

/** fallback is the value of an absent field, undefined when the schema names none that it would itself accept. */
export function fallback({ kind, schema }) {
	const value = schema.default;
	if (kind === 'boolean') return value ?? false;
	if (value == null || value === '') return undefined;
	if (kind === 'number' && (value < lowest(schema) || value > highest(schema))) return undefined;
	return kind === 'enum' && !options(schema).includes(value) ? undefined : value;
}

export const lowest = (schema) => schema.minimum ?? (schema.exclusiveMinimum != null && schema.type === 'integer' ? schema.exclusiveMinimum + 1 : schema.exclusiveMinimum) ?? -Infinity;
export const highest = (schema) => schema.maximum ?? (schema.exclusiveMaximum != null && schema.type === 'integer' ? schema.exclusiveMaximum - 1 : schema.exclusiveMaximum) ?? Infinity;

/** chosen leaves out of params what the schema would fill in by itself, so that a request says only what somebody chose. */
export function chosen(params, list) {
	const left = {};
	for (const field of list) {
		let value = params?.[field.name];
		if (field.fields && value) value = chosen(value, field.fields);
		if (value == null || value === '' || same(value, fallback(field))) continue;
		if (typeof value === 'object' && !Object.keys(value).length) continue;
		if (value === 0 && lowest(field.schema) > 0) continue;
		left[field.name] = value;
	}
	return left;
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

const humane = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ');
