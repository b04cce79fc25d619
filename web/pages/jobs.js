// The list of jobs: filters and place in the address, kept up to date while somebody looks.
import { html, show } from '../lib/html.js';
import { get, query } from '../lib/api.js';
import { poll } from '../lib/events.js';
import { between, shortID } from '../lib/format.js';
import { actions, announce, explain, notice } from '../lib/notice.js';
import { titleOf, types } from '../lib/types.js';
import { buttons, empty, heading, jobActions, pager, scroll } from './parts.js';

const states = ['scheduled', 'waiting', 'queued', 'running', 'retrying', 'succeeded', 'failed', 'canceled'];
const refresh = 2_000; // ms

/** @param {HTMLElement} main @param {{search: URLSearchParams, go: (url: string) => void}} params @param {AbortSignal} signal */
export async function render(main, { search, go }, signal) {
	const filters = Object.fromEntries(['state', 'type', 'tag'].map((name) => [name, search.get(name) ?? '']));
	const cursor = search.get('cursor') ?? '';
	const known = await types().catch(() => []);
	if (signal.aborted) return;
	show(main, html`
		${heading('Jobs', null, html`<a class="button main" href="/submit">New job</a>`)}
		${filterForm(filters, known)}
		<div id="list" data-island><p class="quiet">Loading…</p></div>`);
	const list = main.querySelector('#list');

	const load = async () => {
		const page = await get(`/v1/jobs${query({ ...filters, cursor })}`, signal);
		if (signal.aborted) return;
		notice();
		show(list, page.items.length ? html`${table(page.items, known)}${pager('/jobs', filters, cursor, page.next_cursor)}` : none(filters, cursor));
	};
	const again = poll(load, { signal, every: refresh, onError: explain });
	actions(list, signal, jobActions({ changed: again, gone: () => again().then(() => main.querySelector('h1').focus()) }));

	const filter = main.querySelector('form');
	const apply = (event) => {
		event.preventDefault();
		announce('Filter applied');
		go(`/jobs${query(Object.fromEntries(new FormData(filter)))}`);
	};
	filter.addEventListener('submit', apply, { signal });
	filter.addEventListener('change', apply, { signal });
}

const filterForm = (filters, known) => html`
	<form class="filters" role="search" aria-label="Filter jobs" data-island>
		<label>State <select name="state"><option value="">Any</option>${states.map((state) => html`<option selected=${state === filters.state}>${state}</option>`)}</select></label>
		<label>Type <select name="type"><option value="">Any</option>${known.map(({ name }) => html`<option selected=${name === filters.type}>${name}</option>`)}</select></label>
		<label>Tag <input type="text" name="tag" value=${filters.tag} maxlength="64" autocomplete="off" spellcheck="false"></label>
		<button class="button small">Apply</button>
		${Object.values(filters).some(Boolean) && html`<a class="button small quiet" href="/jobs">Clear</a>`}
	</form>`;

const table = (jobs, known) => scroll('Jobs', html`
		<table class="list">
			<caption class="away">Jobs, newest first</caption>
			<thead><tr>
				<th scope="col" class="wide-only">State</th><th scope="col">Job</th><th scope="col" class="wide-only">Created</th><th scope="col" class="wide-only num">Took</th><th scope="col" class="wide-only num">Attempts</th>
				<th scope="col"><span class="away">Actions</span></th>
			</tr></thead>
			<tbody>${jobs.map((job) => row(job, known))}</tbody>
		</table>`);

const row = (job, known) => html`
	<tr data-key=${job.id}>
		<td class="wide-only">${state(job)}</td>
		<th scope="row">
			<div class="narrow-only">${state(job)}</div>
			<a href=${`/jobs/${job.id}`}>${titleOf(known, job.type)}</a> <code class="quiet" title=${job.id}>${shortID(job.id)}</code>
			${job.cached && html`<span class="tag">cached</span>`}${job.tags?.map((tag) => html`<a class="tag" href=${`/jobs${query({ tag })}`}>${tag}</a>`)}
			${job.error && html`<br><span class="quiet cut">${job.error.message}</span>`}
			<span class="narrow-only quiet"><br><mill-time value=${job.created_at}></mill-time></span>
		</th>
		<td class="wide-only"><mill-time value=${job.created_at}></mill-time></td>
		<td class="wide-only num">${between(job.started_at, job.finished_at)}</td>
		<td class="wide-only num">${job.attempt ?? 0} / ${job.max_attempts}</td>
		<td class="do">${buttons(job, { small: true })}</td>
	</tr>`;

const state = ({ state: value, progress }) => html`<mill-state value=${value}></mill-state>${value === 'running' && progress.total > 0 && html` <span class="quiet number">${Math.floor(progress.percent)} %</span>`}`;

function none(filters, cursor) {
	if (Object.values(filters).some(Boolean)) return empty('No job matches', 'Try another filter, or look at all of them.', html`<a class="button" href="/jobs">Show all jobs</a>`);
	if (cursor) return empty('Nothing older', 'This is the end of the list.', html`<a class="button" href="/jobs">To the newest</a>`);
	return empty('No jobs yet', 'A job is one piece of work on a file: resize a picture, compress a log, summarize a table.', html`<a class="button main" href="/submit">Start the first one</a>`);
}
