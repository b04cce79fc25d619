// News from the server: one job's event stream, or a list asked for again and again while somebody looks at it.
import { get } from './api.js';

export const final = (state) => state === 'succeeded' || state === 'failed' || state === 'canceled';

const quiet = { open: 15_000, broken: 1_000 }; // ms without news before we ask

/**
 * watch calls onJob with the job now and after each change until it is final or signal ends. The browser reconnects the
 * stream by itself with Last-Event-ID; where the stream is refused, cut or swallowed by a proxy, the job is asked for instead.
 * @param {string} id
 * @param {{signal: AbortSignal, onJob: (job: any, event: string) => void, onError: (error: Error) => void}} options
 */
export function watch(id, { signal, onJob, onError }) {
	const path = `/v1/jobs/${encodeURIComponent(id)}`;
	const stop = new AbortController();
	const ended = AbortSignal.any([signal, stop.signal]);
	let job = null, source = null, heard = 0, failures = 0, timer = 0;

	const news = (next, event) => {
		if (ended.aborted) return;
		job = next;
		heard = Date.now();
		onJob(job, event);
		if (final(job.state)) stop.abort();
	};
	const open = () => {
		source = new EventSource(`${path}/events`);
		source.addEventListener('state', (event) => news(JSON.parse(event.data), 'state'));
		source.addEventListener('done', (event) => news(JSON.parse(event.data), 'done'));
		source.addEventListener('progress', (event) => job && news({ ...job, progress: JSON.parse(event.data) }, 'progress'));
	};
	const ask = async () => {
		try {
			news(await get(path, ended), 'poll');
			failures = 0;
			if (!ended.aborted && (!source || source.readyState === EventSource.CLOSED)) open();
		} catch (error) {
			if (ended.aborted) return;
			failures++;
			onError(error);
			if (error.status === 404 || error.status === 401) stop.abort();
		}
	};
	const look = async () => {
		const patience = source?.readyState === EventSource.OPEN ? quiet.open : quiet.broken * Math.min(2 ** failures, 15);
		if (Date.now() - heard >= patience) await ask();
		if (!ended.aborted) timer = setTimeout(look, 1_000);
	};
	ended.addEventListener('abort', () => {
		clearTimeout(timer);
		source?.close();
	});
	look();
}

/**
 * poll runs load at once and then every few seconds while the page is visible, slower after each failure.
 * @param {() => Promise<void>} load
 * @param {{signal: AbortSignal, every: number, onError: (error: Error) => void}} options
 * @returns {() => Promise<void>} asks at once
 */
export function poll(load, { signal, every, onError }) {
	let timer = 0, failures = 0, round = 0;
	const run = async () => {
		const mine = ++round;
		clearTimeout(timer);
		try {
			await load();
			failures = 0;
		} catch (error) {
			if (signal.aborted) return;
			failures++;
			onError(error);
		}
		if (signal.aborted || mine !== round) return;
		timer = setTimeout(() => !document.hidden && run(), every * Math.min(2 ** failures, 15));
	};
	document.addEventListener('visibilitychange', () => !document.hidden && run(), { signal });
	signal.addEventListener('abort', () => clearTimeout(timer));
	run();
	return run;
}
