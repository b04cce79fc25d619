// Where a new job's file comes from: dropped, picked, pasted, a sample, or one that the server has already.
import { html, show } from '../lib/html.js';
import { contentURL, upload } from '../lib/api.js';
import { bytes } from '../lib/format.js';

/** The samples lie beside this module, so they are found under whatever address the page's files have. */
const samples = [
	{ name: 'mountains.jpg', title: 'Mountains', about: 'JPEG, 56 kB', type: 'image/jpeg' },
	{ name: 'orders.csv', title: 'Orders', about: 'CSV, 600 rows', type: 'text/csv' },
	{ name: 'server.log', title: 'Server log', about: 'text, 2,000 lines', type: 'application/octet-stream' },
];

const sampleURL = (name) => new URL(`../samples/${name}`, import.meta.url).pathname;

/** Source holds the chosen file. It is uploaded once, however many jobs are made of it. */
export class Source {
	/** @param {HTMLElement} place @param {{signal: AbortSignal, onChange: (source: Source) => void}} options */
	constructor(place, { signal, onChange }) {
		Object.assign(this, { place, onChange, local: null, stored: null, preview: null });
		this.draw();
		place.addEventListener('change', ({ target }) => target.type === 'file' && target.files[0] && this.take(target.files[0]), { signal });
		place.addEventListener('click', ({ target }) => this.#click(target.closest('button')), { signal });
		for (const name of ['dragover', 'dragleave', 'drop']) document.addEventListener(name, (event) => this.#drag(event), { signal });
		document.addEventListener('paste', (event) => event.clipboardData?.files[0] && this.take(event.clipboardData.files[0]), { signal });
		signal.addEventListener('abort', () => URL.revokeObjectURL(this.preview));
	}

	get name() { return (this.stored ?? this.local)?.name ?? ''; }
	get size() { return (this.stored ?? this.local)?.size; }

	/** @param {File} file */
	take(file) { this.#set(file, null); }

	/** keep takes a file that is on the server. */
	keep(stored) { this.#set(null, stored); }

	/** forget makes the next send upload again, when the server has lost the file. */
	forget() { this.stored = this.local ? null : this.stored; }

	async sample(name) {
		const { type } = samples.find((each) => each.name === name);
		const answer = await fetch(sampleURL(name));
		if (!answer.ok) throw new Error('The sample cannot be read. Reload the page.');
		this.take(new File([await answer.blob()], name, { type }));
	}

	/** send returns the file as the server has it. */
	async send(options) {
		this.stored ??= await upload(this.local, options);
		return this.stored;
	}

	#set(local, stored) {
		URL.revokeObjectURL(this.preview);
		const picture = (local?.type || stored?.content_type || '').startsWith('image/');
		this.preview = !picture ? null : local ? URL.createObjectURL(local) : contentURL(stored.id);
		Object.assign(this, { local, stored });
		this.draw();
		this.onChange(this);
	}

	#drag(event) {
		if (!event.dataTransfer?.types.includes('Files')) return;
		event.preventDefault();
		this.place.querySelector('.drop')?.classList.toggle('over', event.type === 'dragover');
		if (event.type === 'drop' && event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
	}

	async #click(button) {
		if (button?.dataset.sample) await this.sample(button.dataset.sample).catch((error) => this.onChange(this, error));
		if (button?.dataset.other === undefined) return;
		this.#set(null, null);
		this.place.querySelector('input').focus();
	}

	draw() {
		show(this.place, this.name ? this.#chosen() : this.#empty());
	}

	#empty() {
		return html`
			<label class="drop" data-key="drop"><input type="file" class="away" aria-describedby="drop-help input-error">
				<span class="strong">Drop a file here, or <span class="link">choose one</span></span>
				<span class="quiet" id="drop-help">Pasting works too. The file goes to this server only.</span></label>
			<div class="samples" data-key="samples"><p class="quiet" id="samples">Or take a sample:</p>
				<div class="row" role="group" aria-labelledby="samples">${samples.map(({ name, title, about }) => html`
					<button type="button" class="sample" data-sample=${name}>${name.endsWith('.jpg') && html`<img src=${sampleURL(name)} alt="" width="48" height="32">`}<span><span class="strong">${title}</span><br><span class="quiet">${about}</span></span></button>`)}</div></div>`;
	}

	#chosen() {
		return html`
			<div class="chosen" data-key="chosen">
				${this.preview && html`<img src=${this.preview} alt="" width="72" height="72">`}
				<div class="grow"><span class="strong break">${this.name}</span><br><span class="quiet number">${bytes(this.size)}</span></div>
				<button type="button" class="button small" data-other>Choose another</button>
			</div>`;
	}
}
