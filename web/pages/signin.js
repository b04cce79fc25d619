// Asks for a key where the server wants one. The server answers with a cookie that no script can read.
import { html, show } from '../lib/html.js';
import { post } from '../lib/api.js';
import { announce } from '../lib/notice.js';
import { showErrors } from '../lib/form.js';
import { heading } from './parts.js';

/** @param {HTMLElement} main @param {{done: () => void}} params @param {AbortSignal} signal */
export function render(main, { done }, signal) {
	show(main, html`
		<div class="narrow">
			${heading('Sign in', 'This server asks for a key. Whoever runs it has one for you.')}
			<form class="card stack" data-island novalidate>
				<div class="field wide" data-field="/key">
					<label for="key">Key</label>
					<input type="password" id="key" name="key" required autocomplete="current-password" spellcheck="false" aria-describedby="key-error">
					<p class="error" id="key-error"></p>
				</div>
				<button class="button main">Sign in</button>
				<p class="quiet">It is exchanged for a cookie of twelve hours and kept nowhere.</p>
			</form>
		</div>`);
	const form = main.querySelector('form');
	form.addEventListener('submit', async (event) => {
		event.preventDefault();
		const wrong = (detail) => showErrors(form, [{ pointer: '/key', detail }]);
		if (!form.elements.key.value) return wrong('Type the key first.');
		try {
			await post('/v1/session', { key: form.elements.key.value }, signal);
			announce('Signed in');
			done();
		} catch (error) {
			wrong(error.status === 401 ? 'This key is not known here.' : error.message);
		}
	}, { signal });
}
