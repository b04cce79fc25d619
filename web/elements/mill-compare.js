// <mill-compare before="url" after="url" label="mountains.jpg"> lays two pictures over each other; a slider says where one ends and the other begins.
import { html, show } from '../lib/html.js';

class Compare extends HTMLElement {
	static observedAttributes = ['before', 'after', 'label'];

	attributeChangedCallback() {
		if (this.isConnected) this.#draw();
	}

	connectedCallback() {
		this.#draw();
	}

	#draw() {
		const [before, after, label] = ['before', 'after', 'label'].map((name) => this.getAttribute(name));
		if (!before || !after) return;
		show(this, html`
			<div class="over"><img class="under" src=${after} alt=${`After: ${label}`}><img class="upper" src=${before} alt=${`Before: ${label}`}><span class="edge" aria-hidden="true"></span></div>
			<label class="slide"><span class="quiet">Before</span><input type="range" min="0" max="100" value="50" step="1" aria-label="How much of the picture before is shown" data-island><span class="quiet">After</span></label>`);
		const slider = this.querySelector('input');
		const move = () => {
			this.style.setProperty('--at', `${slider.value}%`);
			slider.setAttribute('aria-valuetext', `${slider.value} % before`);
		};
		if (!this.ready) {
			slider.addEventListener('input', move);
			this.firstElementChild.addEventListener('pointermove', (event) => {
				if (event.pointerType === 'mouse' || event.buttons) this.#follow(event, slider, move);
			});
			this.ready = true;
		}
		move();
	}

	/** follow moves the edge to the pointer, which is what everybody tries first. */
	#follow(event, slider, move) {
		const { left, width } = this.firstElementChild.getBoundingClientRect();
		slider.value = String(Math.round(100 * (event.clientX - left) / width));
		move();
	}
}

export const register = () => customElements.define('mill-compare', Compare);
