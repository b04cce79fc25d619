// <mill-time value="2026-01-02T03:04:05Z"> says how long ago that was, keeps saying it right, and has the exact time as its title.
import { html, show } from '../lib/html.js';
import { relative, set } from '../lib/format.js';

class Time extends HTMLElement {
	static observedAttributes = ['value'];
	#timer = 0;

	connectedCallback() { this.#tick(); }
	disconnectedCallback() { clearTimeout(this.#timer); }
	attributeChangedCallback() { if (this.isConnected) this.#tick(); }

	#tick() {
		clearTimeout(this.#timer);
		const value = this.getAttribute('value');
		if (!set(value)) return show(this, html`–`);
		show(this, html`<time datetime=${value} title=${new Date(value).toLocaleString()}>${relative(value)}</time>`);
		const age = Math.abs(Date.now() - Date.parse(value));
		this.#timer = setTimeout(() => this.#tick(), age < 60_000 ? 1_000 : 30_000);
	}
}

export const register = () => customElements.define('mill-time', Time);
