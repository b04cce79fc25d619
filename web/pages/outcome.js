// What came out of a job: the pictures, the numbers, the files, or why there is none.
import { html } from '../lib/html.js';
import { contentURL, outputURL } from '../lib/api.js';
import { bytes, number, saved } from '../lib/format.js';
import { code, facts } from './parts.js';
import { stats } from './stats.js';

const shown = /^image\/(jpeg|png|gif|webp|avif|svg\+xml|bmp)$/;

/**
 * outcome of a final job.
 * @param {any} job @param {any} file what it worked on, or null when that is gone
 */
export function outcome(job, file) {
	if (job.state === 'failed') return failure(job.error);
	if (job.state === 'canceled') return html`<p class="quiet">This job was canceled before it was done. Retry starts it again with the same file.</p>`;
	if (job.state !== 'succeeded') return null;
	const outputs = job.outputs ?? [];
	return html`
		${job.cached && html`<p class="tip">Answered from the cache: the same work on the same bytes was done before.</p>`}
		${pictures(job, file, outputs)}
		${outputs.length > 0 && files(job, file, outputs)}
		${details(job.result, outputs)}`;
}

/** What somebody can do about each kind of failure. */
const advice = {
	unsupported_format: 'Choose a task that reads this kind of file, or convert the file first.',
	corrupt: 'The file is damaged or incomplete. Get a fresh copy and submit it as a new job.',
	too_large: 'It is beyond a limit of this server. Use a smaller file, or ask its operator to raise the limit.',
	too_many_frames: 'Use a still picture or a shorter animation.',
	invalid_input: 'Check that file and options fit together, then submit a new job.',
	poisoned: 'It ended its worker process again and again, so it was set aside. Please report it with the file.',
	timeout: 'Retry it, or submit it again with a longer timeout.',
	unavailable: 'Something it needs is out of reach. Retry it later.',
	input_failed: 'Its input could not be read. Upload the file again and submit a new job.',
	not_available: 'This release cannot do that yet.',
};

function failure(error) {
	if (!error) return html`<p class="notice bad">The job failed.</p>`;
	const hint = advice[error.code] ?? (error.retryable ? 'It may pass: retry it.' : 'If it happens again, ask the operator of this server to look into its log.');
	return html`<div class="notice bad"><p class="strong">${error.message}</p><p>${hint} <code>${error.code}</code></p></div>`;
}

/** Before and after, where both are pictures that a browser shows; variants as a grid. */
function pictures(job, file, outputs) {
	const after = outputs.filter((output) => shown.test(output.content_type));
	if (!after.length) return null;
	const before = file && shown.test(file.content_type) ? file : null;
	const result = job.result ?? {};
	if (result.variants) return variants(job, before, after);
	const one = after.length === 1;
	if (one && before && comparable(result)) return html`
		<figure>
			<mill-compare before=${contentURL(before.id)} after=${outputURL(job, after[0])} label=${after[0].name}></mill-compare>
			<figcaption class="row between">${caption('Before', before.size, result.source)}${caption('After', after[0].size, result)}</figcaption>
		</figure>
		${about(result)}`;
	return html`
		<div class="pictures">
			${before && picture('Before', contentURL(before.id), before.name, before.size, result.source)}
			${after.map((output) => picture(one ? 'After' : output.name, outputURL(job, output), output.name, output.size, one && result))}
		</div>
		${one && about(result)}`;
}

/** comparable pictures have the same shape: a cropped one laid over its source would show two different things. */
function comparable({ width, height, source }) {
	return width > 0 && source?.width > 0 && Math.abs(width / height / (source.width / source.height) - 1) < 0.02;
}

const variants = (job, before, after) => html`
	<div class="pictures variants">
		${before && picture('Before', contentURL(before.id), before.name, before.size, job.result.source)}
		${job.result.variants.map((variant) => {
			const output = after.find(({ name }) => name === variant.name);
			return output && picture(variant.name, outputURL(job, output), output.name, output.size, variant, before && change(before.size, output.size));
		})}
	</div>`;

/** about says what is known of a picture beyond its size. */
function about(result) {
	const entries = [
		['Format', result.format], ['Quality', result.quality], ['Frames', result.pages > 1 && result.pages], ['Transparency', result.has_alpha && 'yes'],
		['Main colour', result.dominant_color && html`<svg class="swatch" viewBox="0 0 1 1" aria-hidden="true"><rect width="1" height="1" fill=${result.dominant_color}></rect></svg> <code>${result.dominant_color}</code>`],
		['BlurHash', result.blurhash && html`<code class="break">${result.blurhash}</code> <mill-copy value=${result.blurhash} label="Copy the BlurHash"></mill-copy>`],
		['ThumbHash', result.thumbhash && html`<code class="break">${result.thumbhash}</code> <mill-copy value=${result.thumbhash} label="Copy the ThumbHash"></mill-copy>`],
		['Engine', result.engine],
	].filter(([, value]) => value);
	return entries.length > 0 && facts(entries);
}

const picture = (title, url, name, size, dimensions, more) => html`
	<figure>
		<a href=${url} download=${name}><img src=${url} alt=${`${title}: ${name}`}></a>
		<figcaption>${caption(title, size, dimensions)} ${more}</figcaption>
	</figure>`;

const caption = (title, size, dimensions) => html`
	<span><span class="strong break">${title}</span> <span class="quiet number">${dimensions?.width > 0 && `${dimensions.width} × ${dimensions.height} · `}${bytes(size)}</span></span>`;

const files = (job, file, outputs) => html`
	<ul class="files">${outputs.map((output) => html`
		<li>
			<div class="grow"><span class="strong break">${output.name}</span><br><span class="quiet number">${bytes(output.size)} · ${output.content_type}</span></div>
			${file && outputs.length === 1 && change(file.size, output.size)}
			<a class="button main" href=${outputURL(job, output)} download=${output.name}>Download<span class="away"> ${output.name}</span></a>
		</li>`)}
	</ul>`;

const change = (before, after) => html`<span class=${`change ${after < before ? 'ok' : ''}`}>${saved(before, after)}</span>`;

const digest = /^[0-9a-f]{8,128}$/;

/** details shows a result by its shape, so that a task type of tomorrow is readable too. */
function details(result, outputs) {
	if (!result || typeof result !== 'object') return null;
	if (Array.isArray(result.columns)) return stats(result);
	const entries = Object.entries(result);
	if (outputs.some((output) => shown.test(output.content_type))) return null; // said under the pictures
	const isDigest = ([, value]) => typeof value === 'string' && digest.test(value);
	const long = entries.filter(isDigest);
	const flat = entries.filter((entry) => typeof entry[1] !== 'object' && !isDigest(entry));
	const deep = entries.filter(([, value]) => value && typeof value === 'object');
	return html`
		${flat.length > 0 && facts(flat.map(([name, value]) => [words(name), name.endsWith('bytes') ? bytes(value) : typeof value === 'number' ? number(value) : String(value)]))}
		${long.length > 0 && digests(long)}
		${deep.map(([name, value]) => html`<details><summary>${words(name)}</summary>${code(value)}</details>`)}`;
}

const digests = (entries) => html`
	<dl class="digests">${entries.map(([name, value]) => html`
		<div><dt>${name}</dt><dd><code class="break">${value}</code> <mill-copy value=${value} label=${`Copy ${name}`}></mill-copy></dd></div>`)}
	</dl>`;

const words = (name) => name.replace(/_bytes$/, '').replaceAll('_', ' ');
