// What the page says outside its content: to a screen reader, in a bar above the page, and as a question.
import { html, show } from './html.js';

/** announce tells a screen reader of a change, politely. Each percent of progress is not a change. */
export function announce(text) {
	document.getElementById('status').textContent = text;
}

/** notice shows what went wrong above the page, or clears it. */
export function notice(text = '') {
	const bar = document.getElementById('notice');
	if (bar.textContent.trim() === text) return;
	show(bar, text ? html`<p class="notice">${text}</p>` : html``);
}

/** explain is notice for a caught error. Leaving a page is no error, and signing in has a page of its own. */
export function explain(error) {
	if (error.name === 'AbortError' || error.status === 401) return;
	if (!('status' in error)) console.error(error);
	notice(error.status === 0 ? 'The server does not answer. Trying again…' : error.message);
}

/**
 * ask puts a question before something that cannot be undone.
 * @param {string} question @param {string} verb what the confirming button says
 * @returns {Promise<boolean>}
 */
export function ask(question, verb) {
	const dialog = document.getElementById('ask');
	show(dialog, html`
		<form method="dialog" aria-labelledby="ask-text">
			<p id="ask-text">${question}</p>
			<div class="row end"><button value="no" class="button" autofocus>Keep</button><button value="yes" class="button bad">${verb}</button></div>
		</form>`);
	dialog.returnValue = 'no';
	dialog.showModal();
	return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

/**
 * actions runs handlers[name] for a click on anything with data-action=name inside root, so that a view is plain markup.
 * While a handler works its button is busy; what it throws is explained.
 */
export function actions(root, signal, handlers) {
	root.addEventListener('click', async (event) => {
		const button = event.target.closest?.('[data-action]');
		const handler = button && handlers[button.dataset.action];
		if (!handler || button.getAttribute('aria-disabled') === 'true') return;
		event.preventDefault();
		button.setAttribute('aria-disabled', 'true');
		try {
			await handler(button);
		} catch (error) {
			explain(error);
		} finally {
			button.removeAttribute('aria-disabled');
		}
	}, { signal });
}
