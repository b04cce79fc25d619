// Pieces that several screens share.
import { html } from '../lib/html.js';
import { outputURL, post, query, remove } from '../lib/api.js';
import * as curl from '../lib/curl.js';
import { announce, ask } from '../lib/notice.js';
import { final } from '../lib/events.js';
import { amount, number } from '../lib/format.js';

/** heading is a screen's title; the router moves focus to it. */
export const heading = (text, lead, aside) => html`
	<div class="heading"><div><h1 tabindex="-1">${text}</h1>${lead && html`<p class="quiet">${lead}</p>`}</div>${aside}</div>`;

/** empty is what stands where there is nothing yet: why, and what to do about it. */
export const empty = (title, text, link) => html`<div class="empty"><p class="strong">${title}</p><p class="quiet">${text}</p>${link}</div>`;

/** pager links to the older part of a list, and back to its beginning. The cursor is in the address, so both work with the back button. */
export const pager = (path, filters, cursor, next) => (cursor || next) && html`
	<nav class="row end pager" aria-label="Pages">
		${cursor && html`<a class="button small" href=${path + query(filters)}>Newest</a>`}
		${next && html`<a class="button small" href=${path + query({ ...filters, cursor: next })}>Older</a>`}
	</nav>`;

/** progress of a live job as a bar with words; without a known total the bar only moves. */
export function progress(job) {
	if (final(job.state)) return null;
	const { done = 0, total = 0, unit, percent, message } = job.progress ?? {};
	const known = total > 0;
	const share = percent ?? (known ? (100 * done) / total : 0);
	const words = [known && `${Math.floor(share)} %`, known ? `${amount(done, unit)} of ${amount(total, unit)}` : done > 0 && amount(done, unit), message].filter(Boolean);
	const waiting = { scheduled: 'Waits for its time.', waiting: 'Waits for another job.', queued: 'Waits for a free worker.', retrying: 'An attempt failed; the next follows by itself.' }[job.state];
	return html`
		<div class="progress">
			<progress max="100" value=${known && job.state === 'running' && share} aria-label="Progress"></progress>
			<p class="quiet number">${waiting ?? (words.join(' · ') || 'Working…')}</p>
		</div>`;
}

/** buttons for what can be done with a job in its state. */
export const buttons = (job, { small = false } = {}) => html`
	${!final(job.state) && button(job, 'cancel', 'Cancel', small)}
	${(job.state === 'failed' || job.state === 'canceled') && button(job, 'retry', 'Retry', small)}
	${final(job.state) && button(job, 'delete', 'Delete', small)}`;

const button = (job, action, text, small) => html`
	<button type="button" class=${`button ${small ? 'small' : ''} ${action === 'delete' ? 'quiet' : ''}`} data-action=${action} data-id=${job.id} data-key=${action}
		aria-label=${small && `${text} ${job.type} ${job.id}`}>${text}</button>`;

/**
 * jobActions are the handlers behind buttons.
 * @param {{changed: (job: any) => void, gone: (id: string) => void}} then
 */
export const jobActions = ({ changed, gone }) => ({
	cancel: async ({ dataset: { id } }) => {
		changed(await post(`/v1/jobs/${encodeURIComponent(id)}/cancel`));
		announce('Cancel requested');
	},
	retry: async ({ dataset: { id } }) => {
		changed(await post(`/v1/jobs/${encodeURIComponent(id)}/retry`));
		announce('Queued again');
	},
	delete: async ({ dataset: { id } }) => {
		if (!(await ask('Delete this job and its outputs? This cannot be undone.', 'Delete job'))) return;
		await remove(`/v1/jobs/${encodeURIComponent(id)}`);
		announce('Job deleted');
		gone(id);
	},
});

/** inputID is the file a job works on. */
export const inputID = (job) => (job.input ?? job.inputs?.[0])?.file;

/** facts is a list of names and values; null values are left out. */
export const facts = (pairs) => html`
	<dl class="facts">${pairs.filter(([, value]) => value != null && value !== false && value !== '').map(([name, value]) => html`<div><dt>${name}</dt><dd>${typeof value === 'number' ? number(value) : value}</dd></div>`)}</dl>`;

/** card is a titled part of a screen. */
export const card = (id, title, content, aside) => html`
	<section class="card" aria-labelledby=${id} data-key=${id}><div class="row between"><h2 id=${id}>${title}</h2>${aside}</div>${content}</section>`;

/** scroll lets a wide table scroll by itself, by keyboard too. */
export const scroll = (label, table) => html`<div class="scroll" tabindex="0" role="region" aria-label=${label} data-key="table">${table}</div>`;

/** code shows any JSON value. */
export const code = (value) => html`<pre class="code" tabindex="0">${JSON.stringify(value, null, 2)}</pre>`;

/** shell is what was done, as lines for a shell. */
export const shell = (job, file, params) => html`
	${command('Submit and wait', curl.submit({ type: job.type, params, name: file?.name ?? 'FILE' }))}
	${job.outputs?.map((output) => command(`Download ${output.name}`, curl.download(outputURL(job, output), output.name)))}`;

const command = (title, line) => html`
	<figure class="command">
		<figcaption>${title} <mill-copy value=${line} label=${`Copy: ${title}`}></mill-copy></figcaption>
		<pre tabindex="0" role="region" aria-label=${title}><code>${line}</code></pre>
	</figure>`;
