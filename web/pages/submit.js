// The first screen: a file, a task, its options, and what comes of it. The address holds all of it but a file not yet sent.
import { html, show } from '../lib/html.js';
import { get, post, query } from '../lib/api.js';
import { form, read, showErrors } from '../lib/form.js';
import { actions, announce, explain, notice } from '../lib/notice.js';
import { suggest, types } from '../lib/types.js';
import { heading } from './parts.js';
import { Panel } from './panel.js';
import { Source } from './source.js';

/** @param {HTMLElement} main @param {{search: URLSearchParams}} params @param {AbortSignal} signal */
export async function render(main, { search }, signal) {
	show(main, layout());
	const known = await types();
	if (signal.aborted) return;
	const composer = new Composer(main, known, search, signal);
	await composer.restore(search);
}

const layout = () => html`
	${heading('New job', 'Bring a file, say what to do with it, and watch it happen.')}
	<div class="split even">
		<form id="compose" class="stack" data-island novalidate aria-label="New job">
			<section class="card" aria-labelledby="step-file" data-field="/input">
				<h2 id="step-file">File</h2>
				<div id="source" data-island></div>
				<p class="error" id="input-error"></p>
			</section>
			<section class="card" aria-labelledby="step-task">
				<h2 id="step-task">Task</h2>
				<div id="tasks"><p class="quiet">Loading…</p></div>
				<div id="options"></div>
			</section>
			<p class="error" id="form-error" role="alert"></p>
			<div class="start"><button class="button main big" id="start">Start job</button></div>
		</form>
		<section id="panel" class="card" data-island aria-labelledby="panel-title"></section>
	</div>`;

class Composer {
	constructor(main, known, search, signal) {
		Object.assign(this, { main, known, signal, type: null, picked: false });
		this.form = main.querySelector('#compose');
		this.panel = new Panel(main.querySelector('#panel'), { signal, known });
		this.source = new Source(main.querySelector('#source'), { signal, onChange: (_, error) => this.#sourceChanged(error) });
		this.form.addEventListener('change', ({ target }) => target.name === 'type' && this.#pick(target.value, true), { signal });
		this.form.addEventListener('submit', (event) => { event.preventDefault(); this.#start(); }, { signal });
		// A long help opens when its field is visited and stays open: text that folds on leaving would move the button under the pointer.
		this.form.addEventListener('focusin', ({ target }) => target.closest('.field')?.classList.add('seen'), { signal });
		actions(this.form, signal, { example: ({ dataset: { index } }) => this.#options(this.#task.examples[index].params) });
		this.#pick(search.get('type') ?? known[0]?.name, search.has('type'), parameters(search));
	}

	get #task() { return this.known.find(({ name }) => name === this.type); }

	/** restore takes up what the address says: a file on the server, a job on its way. */
	async restore(search) {
		try {
			if (search.has('file')) this.source.keep(await get(`/v1/files/${encodeURIComponent(search.get('file'))}`, this.signal));
		} catch (error) {
			if (error.status === 404) showErrors(this.form, [{ pointer: '/input', detail: 'That file is no longer kept. Bring it again.' }]);
			else explain(error);
		}
		if (search.has('job') && !this.signal.aborted) this.panel.follow(search.get('job'), { file: this.source.stored });
	}

	#sourceChanged(error) {
		showErrors(this.form, error ? [{ pointer: '/input', detail: error.message }] : []);
		if (this.source.name && !this.picked) this.#pick(suggest(this.known, this.source.name), false);
		if (this.source.name && !error) announce(`${this.source.name} chosen`);
	}

	#pick(name, byHand, params) {
		const same = this.type === name;
		this.type = this.known.some((type) => type.name === name) ? name : this.known[0]?.name;
		this.picked ||= byHand;
		show(this.main.querySelector('#tasks'), tasks(this.known, this.type));
		for (const radio of this.form.querySelectorAll('[name=type]')) radio.checked = radio.value === this.type;
		if (!same) this.#options(params ?? this.#task?.examples[0]?.params ?? {});
	}

	#options(params) {
		const place = this.main.querySelector('#options');
		place.replaceChildren(this.#task ? options(this.#task, params) : html`<p class="quiet">This server offers no tasks.</p>`);
	}

	async #start() {
		const task = this.#task;
		if (!task || this.busy) return;
		this.#complain('');
		if (!this.source.name) return void showErrors(this.form, [{ pointer: '/input', detail: 'Bring a file first: drop one, choose one or take a sample.' }]);
		const params = read(this.form, task.schema);
		if (params) await this.#send(task, params);
	}

	async #send(task, params) {
		const start = this.main.querySelector('#start');
		const stop = new AbortController();
		this.busy = true;
		start.setAttribute('aria-disabled', 'true');
		notice();
		try {
			const file = await this.panel.upload(this.source, AbortSignal.any([this.signal, stop.signal]), stop);
			const job = await post('/v1/jobs', { type: task.name, input: { file: file.id }, params }, this.signal);
			history.replaceState(null, '', `/submit${query({ type: task.name, file: file.id, job: job.id, params: Object.keys(params).length ? JSON.stringify(params) : '' })}`);
			this.panel.follow(job.id, { file, job, params });
		} catch (error) {
			this.panel.idle();
			this.#refused(error);
		} finally {
			this.busy = false;
			start.removeAttribute('aria-disabled');
		}
	}

	#refused(error) {
		if (this.signal.aborted) return;
		if (error.name === 'AbortError') return this.#complain('The upload was stopped.');
		if (error.errors?.some(({ pointer }) => pointer.startsWith('/input'))) this.source.forget();
		const homeless = showErrors(this.form, error.errors ?? []);
		if (!homeless || homeless.length) this.#complain(homeless?.map(({ detail, pointer }) => `${pointer}: ${detail}`).join('; ') || error.message);
		if (!('status' in error)) console.error(error);
	}

	#complain(text) { this.main.querySelector('#form-error').textContent = text; }
}

const tasks = (known, picked) => html`
	<div class="tasks" role="radiogroup" aria-labelledby="step-task">${known.map(({ name, title }) => html`
		<label class="task" data-key=${name}><input type="radio" name="type" value=${name} checked=${name === picked}><span><span class="strong">${title}</span><br><code class="quiet">${name}</code></span></label>`)}
	</div>`;

/** A description is Markdown of the simplest kind: only its code marks are worth showing. */
const prose = (text) => text.split('`').map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));

const options = (task, params) => html`
	${task.description && html`<p class="quiet about">${prose(task.description)}</p>`}
	${task.examples.length > 1 && html`<p class="row"><span class="quiet">Start from:</span> ${task.examples.map(({ title }, i) => html`<button type="button" class="link" data-action="example" data-index=${i}>${title}</button> `)}</p>`}
	${form(task.schema, params)}`;

function parameters(search) {
	try {
		return JSON.parse(search.get('params')) ?? undefined;
	} catch {
		return undefined;
	}
}
