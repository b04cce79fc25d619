// Who works, and what waits.
import { html, show } from '../lib/html.js';
import { get } from '../lib/api.js';
import { poll } from '../lib/events.js';
import { bytes, number, shortID } from '../lib/format.js';
import { explain, notice } from '../lib/notice.js';
import { card, empty, facts, heading, scroll } from './parts.js';

const refresh = 2_000; // ms
const listed = 8; // jobs of a process named one by one

/** @param {HTMLElement} main @param {AbortSignal} signal */
export async function render(main, _, signal) {
	show(main, html`${heading('Workers', 'The processes that do the work, and the queues in front of them.')}<div id="list" data-island class="stack"><p class="quiet">Loading…</p></div>`);
	const list = main.querySelector('#list');
	const load = async () => {
		const [workers, waiting] = await Promise.all([forAdmins(get('/v1/workers', signal)), get('/v1/queues', signal)]);
		if (signal.aborted) return;
		notice();
		show(list, html`${processes(workers)}${queues(waiting)}`);
	};
	poll(load, { signal, every: refresh, onError: explain });
}

/** Workers need the scope admin; the queues are worth showing without it. */
const forAdmins = (answer) => answer.then(({ items }) => items).catch((error) => {
	if (error.status !== 403) throw error;
	return null;
});

function processes(workers) {
	if (!workers) return empty('Not for this key', 'Processes are shown to keys with the scope admin.');
	if (!workers.length) return empty('No worker is alive', 'Jobs are accepted and wait. Start a worker process and they begin.');
	return html`<ul class="cards" aria-label="Processes">${workers.map(worker)}</ul>`;
}

const worker = (w) => html`
	<li class="card" data-key=${w.id}>
		<div class="row between"><h2>${w.role} <span class="quiet">${w.pid}</span></h2><span class="quiet">${w.host}</span></div>
		${w.role !== 'core' && facts([
			['Slots', `${w.slots.cpu} cpu, ${w.slots.io} io`],
			['Running', w.running.length ? [w.running.slice(0, listed).map((id) => html`<a href=${`/jobs/${id}`}><code>${shortID(id)}</code></a> `), w.running.length > listed && `and ${w.running.length - listed} more`] : 'nothing'],
			['Memory', w.memory.budget > 0 && html`<meter min="0" max=${w.memory.budget} value=${w.memory.used} aria-label="Memory in use"></meter> ${bytes(w.memory.used)} of ${bytes(w.memory.budget)}`],
		])}
		<p class="quiet">Started <mill-time value=${w.started_at}></mill-time>, heard of <mill-time value=${w.beat_at}></mill-time></p>
	</li>`;

const queue = (limit) => (q) => html`
	<tr data-key=${q.name}>
		<th scope="row"><code>${q.name}</code>${q.paused && html` <span class="tag">paused</span>`}</th>
		${[q.depth, q.delayed, q.running].map((n) => html`<td class="num">${n >= limit && 'over '}${number(n)}</td>`)}
		<td class="num">${q.latency}</td>
	</tr>`;

const queues = ({ items, limit }) => card('queues', 'Queues', scroll('Table of queues', html`
	<table>
		<thead><tr><th scope="col">Queue</th>${['Waiting', 'Delayed', 'Running', 'Oldest waits'].map((name) => html`<th scope="col" class="num">${name}</th>`)}</tr></thead>
		<tbody>${items.map(queue(limit))}</tbody>
	</table>`));
