// The one door to the REST API: JSON in and out, problem details (RFC 9457) as errors.

/** Problem is a refused request. */
export class Problem extends Error {
	/** @param {number} status 0 when no answer came  @param {any} body problem details */
	constructor(status, body = {}) {
		super(body.detail || body.title || (status ? `The server answered ${status}.` : 'The server does not answer.'));
		this.status = status;
		this.code = body.code;
		/** @type {{pointer: string, detail: string}[]} */
		this.errors = body.errors ?? [];
		this.requestId = body.instance;
	}
}

/**
 * @param {'GET'|'POST'|'DELETE'} method
 * @param {string} path below the origin, such as /v1/jobs
 * @param {{body?: any, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the answer's JSON, null when it has none
 */
export async function call(method, path, { body, signal } = {}) {
	const headers = { Accept: 'application/json' };
	if (body !== undefined) headers['Content-Type'] = 'application/json';
	let response, text;
	try {
		response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
		text = await response.text();
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new Problem(0);
	}
	return answer(response.status, text, path);
}

export const get = (path, signal) => call('GET', path, { signal });
export const post = (path, body, signal) => call('POST', path, { body, signal });
export const remove = (path, signal) => call('DELETE', path, { signal });

function answer(status, text, path) {
	const body = parse(text);
	if (status >= 200 && status < 300) return body;
	if (status === 401 && path !== '/v1/session') document.dispatchEvent(new CustomEvent('mill:signin'));
	throw new Problem(status, body ?? {});
}

function parse(text) {
	try {
		return text ? JSON.parse(text) : null;
	} catch {
		return null;
	}
}

/** What a form can send across origins is refused by the server for bytes, so such files travel as plain bytes. */
const formTypes = /^(|text\/plain|multipart\/.*|application\/x-www-form-urlencoded|application\/json)(;|$)/i;

/**
 * upload sends a file and returns it as the server keeps it. XMLHttpRequest, because fetch cannot report how much has been sent.
 * @param {File} file
 * @param {{signal: AbortSignal, onProgress: (sent: number, total: number) => void}} options
 */
export function upload(file, { signal, onProgress }) {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		request.open('POST', `/v1/files?name=${encodeURIComponent(file.name)}`);
		request.setRequestHeader('Content-Type', formTypes.test(file.type) ? 'application/octet-stream' : file.type);
		request.upload.onprogress = (event) => onProgress(event.loaded, event.lengthComputable ? event.total : file.size);
		request.onerror = () => reject(new Problem(0));
		request.onabort = () => reject(signal.reason ?? new DOMException('aborted', 'AbortError'));
		request.onload = () => {
			try {
				resolve(answer(request.status, request.responseText, '/v1/files'));
			} catch (error) {
				reject(error);
			}
		};
		signal.addEventListener('abort', () => request.abort(), { once: true });
		request.send(file);
	});
}

/** query makes ?a=b of the values that are set, or nothing. */
export function query(values) {
	const set = Object.entries(values).filter(([, value]) => value != null && value !== '');
	return set.length ? `?${new URLSearchParams(set)}` : '';
}

/** contentURL is where a file's bytes are. */
export const contentURL = (id) => `/v1/files/${encodeURIComponent(id)}/content`;

/** outputURL is where an output's bytes are. */
export const outputURL = (job, output) => `/v1/jobs/${encodeURIComponent(job.id)}/outputs/${encodeURIComponent(output.name)}`;
