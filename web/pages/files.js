// The list of files: uploads and outputs.
import { html, show } from '../lib/html.js';
import { contentURL, get, query, remove } from '../lib/api.js';
import { poll } from '../lib/events.js';
import { bytes } from '../lib/format.js';
import { actions, announce, ask, explain, notice } from '../lib/notice.js';
import { empty, heading, pager, scroll } from './parts.js';

const refresh = 10_000; // ms: files come and go slower than jobs

/** @param {HTMLElement} main @param {{search: URLSearchParams}} params @param {AbortSignal} signal */
export async function render(main, { search }, signal) {
	const cursor = search.get('cursor') ?? '';
	show(main, html`${heading('Files', 'What was uploaded and what jobs made of it.', html`<a class="button main" href="/submit">New job</a>`)}<div id="list" data-island><p class="quiet">Loading…</p></div>`);
	const list = main.querySelector('#list');
	const load = async () => {
		const page = await get(`/v1/files${query({ cursor })}`, signal);
		if (signal.aborted) return;
		notice();
		show(list, page.items.length ? html`${table(page.items)}${pager('/files', {}, cursor, page.next_cursor)}` : none());
	};
	const again = poll(load, { signal, every: refresh, onError: explain });
	actions(list, signal, {
		delete: async ({ dataset: { id, name } }) => {
			if (!(await ask(`Delete ${name}? This cannot be undone.`, 'Delete file'))) return;
			await remove(`/v1/files/${encodeURIComponent(id)}`);
			announce('File deleted');
			await again();
			main.querySelector('h1').focus();
		},
	});
}

const none = () => empty('No files yet', 'Files appear here when a job is submitted; they are removed by themselves some time later.', html`<a class="button main" href="/submit">Bring the first one</a>`);

const table = (files) => scroll('Files', html`
		<table class="list">
			<caption class="away">Files, newest first</caption>
			<thead><tr>
				<th scope="col">Name</th><th scope="col" class="num">Size</th><th scope="col" class="wide-only">SHA-256</th><th scope="col" class="wide-only">Created</th><th scope="col" class="wide-only">Kept until</th>
				<th scope="col"><span class="away">Actions</span></th>
			</tr></thead>
			<tbody>${files.map(row)}</tbody>
		</table>`);

const row = (file) => html`
	<tr data-key=${file.id}>
		<th scope="row"><a class="break" href=${contentURL(file.id)} download=${file.name}>${file.name}</a><br><span class="quiet">${file.content_type}</span></th>
		<td class="num">${bytes(file.size)}</td>
		<td class="wide-only"><code class="quiet" title=${file.sha256}>${file.sha256?.slice(0, 12)}…</code></td>
		<td class="wide-only"><mill-time value=${file.created_at}></mill-time></td>
		<td class="wide-only"><mill-time value=${file.expires_at}></mill-time></td>
		<td class="do">
			<a class="button small" href=${`/submit${query({ file: file.id })}`} aria-label=${`Use ${file.name} in a new job`}>Use</a>
			<button type="button" class="button small quiet" data-action="delete" data-id=${file.id} data-name=${file.name} aria-label=${`Delete ${file.name}`}>Delete</button>
		</td>
	</tr>`;
