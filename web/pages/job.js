// One job's life on one page, live.
import { html, show } from '../lib/html.js';
import { get, query } from '../lib/api.js';
import { watch } from '../lib/events.js';
import { between, bytes, set } from '../lib/format.js';
import { actions, announce, explain, notice } from '../lib/notice.js';
import { paramsOf, titleOf, types } from '../lib/types.js';
import { outcome } from './outcome.js';
import { buttons, card, code, empty, facts, heading, inputID, jobActions, progress, scroll, shell } from './parts.js';

/** @param {HTMLElement} main @param {{id: string, go: (url: string) => void}} params @param {AbortSignal} signal */
export async function render(main, { id, go }, signal) {
	const known = await types().catch(() => []);
	const view = { job: null, file: undefined, log: [], known };
	const draw = () => !signal.aborted && view.job && show(main, page(view));
	let watching = new AbortController();

	const begin = () => {
		watching.abort();
		watching = new AbortController();
		watch(id, { signal: AbortSignal.any([signal, watching.signal]), onJob: heard, onError: failed });
	};
	const heard = (job, event) => {
		notice();
		if (view.job && view.job.state !== job.state) announce(`Job ${job.state}`);
		record(view, job, event);
		view.job = job;
		draw();
		document.title = `${titleOf(known, job.type)}, ${job.state} – Millrace`;
		if (view.file === undefined) input(view, signal).then(draw);
	};
	const failed = (error) => {
		if (error.status === 404) show(main, html`${heading('No such job')}${empty('This job is gone, or never was', 'Jobs are deleted some time after they end.', html`<a class="button" href="/jobs">All jobs</a>`)}`);
		else explain(error);
	};
	actions(main, signal, jobActions({
		changed: (job) => { heard(job, 'action'); begin(); },
		gone: () => go('/jobs'),
	}));
	if (!signal.aborted) begin();
}

/** input looks up what the job works on; it may be deleted by now. */
async function input(view, signal) {
	view.file = null;
	const id = inputID(view.job);
	if (id) view.file = await get(`/v1/files/${encodeURIComponent(id)}`, signal).catch(() => null);
}

const logged = 30;

/** record keeps what happened while the page was open: states and messages, not each percent. */
function record({ log, job: before }, job, event) {
	const text = before && before.state !== job.state ? job.state : job.progress?.message && job.progress.message !== before?.progress?.message ? job.progress.message : null;
	if (!text || event === 'poll' && !before) return;
	log.push({ time: new Date().toISOString(), text });
	if (log.length > logged) log.shift();
}

function page(view) {
	const { job, file, known } = view;
	const params = paramsOf(known, job);
	return html`
		${heading(titleOf(known, job.type), html`<code class="break">${job.id}</code>`, html`<div class="row">
			<a class="button" href=${`/submit${query({ type: job.type, file: inputID(job), params: JSON.stringify(params) })}`}>Run again…</a>${buttons(job)}</div>`)}
		<div class="split">
			<div class="stack">
				${card('outcome', 'Outcome', html`
					${progress(job)}
					${job.state === 'retrying' && job.error && html`<p class="notice">${job.error.message} The next attempt follows <mill-time value=${job.run_at}></mill-time>.</p>`}
					${outcome(job, file)}`, html`<mill-state value=${job.state}></mill-state>`)}
				${job.attempts?.length > 0 && attempts(job)}
				${card('curl', 'The same from a shell', shell(job, file, params))}
			</div>
			<div class="stack">${about(job, file)}${options(params)}${timeline(view)}</div>
		</div>`;
}

const attempts = (job) => card('attempts', 'Attempts', scroll('Table of attempts', html`
			<table>
				<thead><tr><th scope="col" class="num">No.</th><th scope="col">Outcome</th><th scope="col">Started</th><th scope="col" class="num">Took</th><th scope="col">Worker</th></tr></thead>
				<tbody>${job.attempts.map((attempt) => html`
					<tr data-key=${attempt.n}>
						<td class="num">${attempt.n}</td>
						<td>${attempt.outcome || 'running'}${attempt.outcome && !attempt.spent && attempt.outcome !== 'succeeded' && html` <span class="quiet">(does not count)</span>`}
							${attempt.error && html`<br><span class="quiet">${attempt.error.message} <code>${attempt.error.code}</code></span>`}</td>
						<td><mill-time value=${attempt.started_at}></mill-time></td>
						<td class="num">${between(attempt.started_at, attempt.ended_at)}</td>
						<td><code title=${attempt.worker}>${attempt.worker?.slice(-8)}</code></td>
					</tr>`)}</tbody>
			</table>`));

const about = (job, file) => card('about', 'About', html`
		${facts([
			['Input', file ? html`<a class="break" href=${`/v1/files/${file.id}/content`} download=${file.name}>${file.name}</a> <span class="quiet">${bytes(file.size)}</span>` : file === null && 'no longer kept'],
			['Type', html`<code>${job.type}</code>`],
			['Priority', job.priority],
			['Attempts', `${job.attempt ?? 0} of ${job.max_attempts}`],
			['Run', job.run > 1 && String(job.run)],
			['Took', set(job.started_at) && between(job.started_at, job.finished_at)],
			['Waited', set(job.started_at) && between(job.created_at, job.started_at)],
			['Kept until', set(job.expires_at) && html`<mill-time value=${job.expires_at}></mill-time>`],
			['Tags', job.tags?.length > 0 && job.tags.map((tag) => html`<a class="tag" href=${`/jobs${query({ tag })}`}>${tag}</a>`)],
		])}
		${job.metadata && Object.keys(job.metadata).length > 0 && html`<details data-key="metadata"><summary>Metadata</summary>${code(job.metadata)}</details>`}`);

const options = (params) => card('options', 'Options', Object.keys(params).length
	? facts(Object.entries(params).map(([name, value]) => [name, typeof value === 'object' ? html`<code class="break">${JSON.stringify(value)}</code>` : String(value)]))
	: html`<p class="quiet">All as the defaults are.</p>`);

/** timeline tells what the record knows for sure, then what this page has seen. */
function timeline({ job, log }) {
	const known = [
		{ time: job.created_at, text: 'accepted' },
		...(job.attempts ?? []).flatMap((attempt) => [
			{ time: attempt.started_at, text: `attempt ${attempt.n} started` },
			{ time: attempt.ended_at, text: `attempt ${attempt.n}: ${attempt.outcome}` },
		]),
		{ time: job.finished_at, text: job.state },
	].filter(({ time }) => set(time));
	const all = [...known, ...log].sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
	return card('events', 'Events', html`
			<ol class="events">${all.map(({ time, text }) => html`<li><time datetime=${time} class="quiet number">${new Date(time).toLocaleTimeString()}</time> ${text}</li>`)}</ol>`);
}
