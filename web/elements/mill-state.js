// <mill-state value="running"> is a job's state as a word and a shape, so that colour is never alone.
import { html, show } from '../lib/html.js';

const shapes = {
	scheduled: 'M8 4.5V8l2.5 1.5', waiting: 'M6.5 5.5v5M9.5 5.5v5', queued: 'M5 8h.01M8 8h.01M11 8h.01', running: 'M8 3a5 5 0 1 1-5 5',
	retrying: 'M12 6A4.5 4.5 0 1 0 12 10M12 3v3H9', succeeded: 'M4.5 8.2 7 10.7l4.5-5', failed: 'M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4', canceled: 'M4.5 11.5l7-7',
};

class State extends HTMLElement {
	static observedAttributes = ['value'];

	attributeChangedCallback() {
		const value = this.getAttribute('value');
		this.className = `state ${value}`;
		show(this, html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d=${shapes[value] ?? ''}></path></svg>${value}`);
	}
}

export const register = () => customElements.define('mill-state', State);
