// The task types that the server knows: what the page offers and how it names things follow from them alone.
import { get } from './api.js';
import { chosen, fields } from './schema.js';

/** @typedef {{name: string, title: string, description: string, schema: any, examples: {title: string, params: any}[]}} TaskType */

let asked = null;

/** @returns {Promise<TaskType[]>} asked for once; after a failure, again */
export function types() {
	asked ??= get('/v1/task-types').then(({ items }) => items.map(({ type, ...rest }) => ({ ...rest, name: type }))).catch((error) => {
		asked = null;
		throw error;
	});
	return asked;
}

/** titleOf names a type for people; a type that this server has forgotten keeps its own name. */
export const titleOf = (list, name) => list.find((type) => type.name === name)?.title ?? name;

/** paramsOf are the params that somebody chose for a job: the server's record also holds every default. */
export function paramsOf(list, job) {
	const type = list.find(({ name }) => name === job.type);
	return type ? chosen(job.params, fields(type.schema, '/params')) : job.params ?? {};
}

/** What a file is most likely here for. Only a first choice: every type stays on offer. */
const likely = [
	[/\.(jpe?g|png|gif|webp|avif|tiff?|bmp)$/i, 'image.resize'],
	[/\.(csv|tsv|ndjson)$/i, 'compute.stats'],
	[/\.(gz|zst|br|s2)$/i, 'file.decompress'],
	[/./, 'file.compress'],
];

/** suggest picks the type for a file's name. */
export function suggest(list, name) {
	const wanted = likely.filter(([pattern]) => pattern.test(name)).map(([, type]) => type);
	return wanted.find((type) => list.some((known) => known.name === type)) ?? list[0]?.name;
}
