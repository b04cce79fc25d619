// <mill-copy value="text" label="Copy the command"> is a button that puts text on the clipboard.
import { html, show } from '../lib/html.js';
import { announce } from '../lib/notice.js';

class Copy extends HTMLElement {
	connectedCallback() {
		if (this.firstChild) return;
		show(this, html`<button type="button" class="button small" aria-label=${this.getAttribute('label') ?? 'Copy'}>Copy</button>`);
		this.firstElementChild.addEventListener('click', () => this.#copy());
	}

	async #copy() {
		const done = await put(this.getAttribute('value'));
		this.firstElementChild.textContent = done ? 'Copied' : 'Press Ctrl+C';
		announce(done ? 'Copied' : 'Copying is not allowed here');
		setTimeout(() => { if (this.firstElementChild) this.firstElementChild.textContent = 'Copy'; }, 2_000);
	}
}

/** put falls back to a selection: the clipboard API exists on secure origins only, and a server in a local network has none. */
async function put(text) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = document.createElement('textarea');
		area.value = text;
		area.className = 'away';
		document.body.append(area);
		const focused = document.activeElement;
		area.select();
		const done = document.execCommand('copy');
		area.remove();
		focused?.focus();
		return done;
	}
}

export const register = () => customElements.define('mill-copy', Copy);
