// The right half of the first screen: what becomes of the job that was just submitted.
import { html, show } from '../lib/html.js';
import { get } from '../lib/api.js';
import { final, watch } from '../lib/events.js';
import { bytes } from '../lib/format.js';
import { actions, announce, explain, notice } from '../lib/notice.js';
import { paramsOf, titleOf } from '../lib/types.js';
import { outcome } from './outcome.js';
import { buttons, inputID, jobActions, progress, shell } from './parts.js';

export class Panel {
	/** @param {HTMLElement} place @param {{signal: AbortSignal, known: any[]}} options */
	constructor(place, { signal, known }) {
		Object.assign(this, { place, signal, known, watching: new AbortController(), stop: null });
		actions(place, signal, {
			stop: () => this.stop?.abort(),
			...jobActions({ changed: (job) => this.follow(job.id, { ...this.about, job }), gone: () => this.idle() }),
		});
		this.idle();
	}

	idle() {
		this.watching.abort();
		show(this.place, html`
			<h2 id="panel-title">What happens</h2>
			<ol class="steps">
				<li><span class="strong">The file is sent</span> and kept under its SHA-256.</li>
				<li><span class="strong">The job is written down</span> before the server says yes: it survives a crash.</li>
				<li><span class="strong">A worker takes it</span>, and this page shows how far it is.</li>
				<li><span class="strong">The result appears here</span>, with the curl line that does the same.</li>
			</ol>`);
	}

	/** upload shows how much of the file has been sent, and returns it as the server has it. */
	async upload(source, signal, stop) {
		this.watching.abort();
		this.stop = stop;
		const draw = (sent) => show(this.place, html`
			<div class="row between"><h2 id="panel-title" tabindex="-1">Sending ${source.name}</h2><button type="button" class="button small" data-action="stop" data-key="stop">Stop</button></div>
			<div class="progress"><progress max=${source.size || 1} value=${sent} aria-label="Upload"></progress><p class="quiet number">${bytes(sent)} of ${bytes(source.size)}</p></div>`);
		if (!source.stored) {
			draw(0);
			this.#reveal();
			announce(`Sending ${source.name}`);
		}
		return source.send({ signal, onProgress: draw });
	}

	/**
	 * follow shows a job until it is final, however often it is retried from here.
	 * @param {string} id @param {{file?: any, job?: any, params?: any}} about what is known of it already
	 */
	follow(id, about) {
		this.watching.abort();
		this.watching = new AbortController();
		this.about = about;
		const signal = AbortSignal.any([this.signal, this.watching.signal]);
		if (about.job) this.#draw(about.job);
		if (about.job) this.#reveal();
		if (about.job && final(about.job.state)) return this.#done(about.job, signal);
		watch(id, {
			signal,
			onJob: (job) => { notice(); this.#draw(job); if (final(job.state)) this.#done(job, signal); },
			onError: (error) => (error.status === 404 ? this.idle() : explain(error)),
		});
	}

	/** On a narrow screen the panel is below the form, so it comes into view; focus follows for whoever does not see it. */
	#reveal() {
		const title = this.place.querySelector('h2');
		title.setAttribute('tabindex', '-1');
		title.focus({ preventScroll: true });
		this.place.scrollIntoView({ block: 'nearest' });
	}

	async #done(job, signal) {
		announce(job.state === 'succeeded' ? 'Job succeeded. The result is on the page.' : `Job ${job.state}`);
		if (this.about.file === undefined || this.about.file === null) {
			this.about.file = inputID(job) ? await get(`/v1/files/${inputID(job)}`, signal).catch(() => null) : null;
			if (!signal.aborted) this.#draw(job);
		}
	}

	#draw(job) {
		const { file, params } = this.about;
		show(this.place, html`
			<div class="row between"><h2 id="panel-title" tabindex="-1">${titleOf(this.known, job.type)}</h2><mill-state value=${job.state}></mill-state></div>
			<div id="outcome" class="stack">${progress(job)}${outcome(job, file)}</div>
			<div class="row"><a class="button" href=${`/jobs/${job.id}`} data-key="page">Job page</a>${buttons(job)}</div>
			<details class="shell" open data-key="shell"><summary>The same from a shell</summary>${shell(job, file, params ?? paramsOf(this.known, job))}</details>`);
	}
}
