// The page: which screen an address shows, and moving between them without a reload.
import { html, show } from './lib/html.js';
import { call, get } from './lib/api.js';
import { announce, explain, notice } from './lib/notice.js';
import * as compare from './elements/mill-compare.js';
import * as copy from './elements/mill-copy.js';
import * as state from './elements/mill-state.js';
import * as time from './elements/mill-time.js';
import * as files from './pages/files.js';
import * as job from './pages/job.js';
import * as jobs from './pages/jobs.js';
import * as signin from './pages/signin.js';
import * as submit from './pages/submit.js';
import * as workers from './pages/workers.js';
import { empty, heading } from './pages/parts.js';

const routes = [
	[/^\/(?:submit)?$/, submit, 'New job'],
	[/^\/jobs$/, jobs, 'Jobs'],
	[/^\/jobs\/(?<id>[^/]+)$/, job, 'Job'],
	[/^\/files$/, files, 'Files'],
	[/^\/workers$/, workers, 'Workers'],
];

const main = document.getElementById('main');
let leaving = new AbortController();

/** draw shows the screen of the present address. focus is false for the first one: the reader is at the top already. */
async function draw({ focus = true } = {}) {
	leaving.abort();
	leaving = new AbortController();
	const { signal } = leaving;
	const found = routes.find(([pattern]) => pattern.test(location.pathname));
	mark();
	notice();
	main.replaceChildren();
	document.title = `${found?.[2] ?? 'Not found'} – Millrace`;
	try {
		if (!found) show(main, html`${heading('Not here')}${empty('There is no such page', 'The address may be mistyped.', html`<a class="button main" href="/">New job</a>`)}`);
		else {
			const params = { ...found[0].exec(location.pathname).groups, search: new URLSearchParams(location.search), go };
			const drawn = found[1].render(main, params, signal);
			if (focus) main.querySelector('h1')?.focus();
			await drawn;
		}
	} catch (error) {
		if (!signal.aborted) explain(error);
	}
	if (focus && !signal.aborted && !main.contains(document.activeElement)) main.querySelector('h1')?.focus();
}

/** go is following a link. */
function go(url) {
	const same = new URL(url, location.href).pathname === location.pathname;
	history.pushState(null, '', url);
	draw({ focus: !same });
	if (!same) scrollTo(0, 0);
}

/** mark says in the navigation where the reader is. */
function mark() {
	for (const link of document.querySelectorAll('#nav a')) {
		const path = link.getAttribute('href');
		const here = path === '/' ? /^\/(submit)?$/.test(location.pathname) : location.pathname.startsWith(path);
		if (here) link.setAttribute('aria-current', 'page');
		else link.removeAttribute('aria-current');
	}
}

/** Only plain clicks on links to screens are ours; downloads, new tabs and other pages stay the browser's. */
document.addEventListener('click', (event) => {
	const link = event.target.closest?.('a[href]');
	if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
	const url = new URL(link.href);
	if (link.target || link.hasAttribute('download') || url.origin !== location.origin || url.hash || !routes.some(([pattern]) => pattern.test(url.pathname))) return;
	event.preventDefault();
	go(url.pathname + url.search);
});
addEventListener('popstate', () => draw());

document.addEventListener('mill:signin', () => {
	leaving.abort();
	leaving = new AbortController();
	main.replaceChildren();
	document.title = 'Sign in – Millrace';
	signin.render(main, { done: () => { session(); draw(); } }, leaving.signal);
	main.querySelector('h1').focus();
});

/** session shows the way out to who has signed in, and tells the shell lines that a key is needed. */
async function session() {
	const { auth } = await get('/v1/session').catch(() => ({ auth: false }));
	document.getElementById('sign-out').hidden = !auth;
	document.documentElement.toggleAttribute('data-auth', auth);
}

document.getElementById('sign-out').addEventListener('click', async () => {
	try {
		await call('DELETE', '/v1/session');
		session();
		announce('Signed out');
		draw();
	} catch (error) {
		explain(error);
	}
});

const themes = ['system', 'light', 'dark'];

/** theme applies a choice; "system" is no choice. */
function theme(name) {
	if (name === 'system') delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = name;
	document.getElementById('theme').textContent = `Theme: ${name}`;
}

document.getElementById('theme').addEventListener('click', () => {
	const next = themes[(themes.indexOf(localStorage.getItem('mill.theme') ?? 'system') + 1) % themes.length];
	localStorage.setItem('mill.theme', next);
	theme(next);
});

for (const element of [compare, copy, state, time]) element.register();
theme(localStorage.getItem('mill.theme') ?? 'system');
session();
draw({ focus: false });
