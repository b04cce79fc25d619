// The result of compute.stats: one row per column, with its shape drawn as inline SVG.
import { html, svg } from '../lib/html.js';
import { number } from '../lib/format.js';
import { scroll } from './parts.js';

/** @param {{rows: number, columns: any[]}} result */
export const stats = ({ rows, columns }) => scroll('Statistics by column', html`
		<table class="stats">
			<caption>${number(rows)} rows, ${columns.length} columns</caption>
			<thead><tr>
				<th scope="col">Column</th><th scope="col">Shape</th><th scope="col" class="num">Nulls</th><th scope="col" class="num">Distinct</th>
				<th scope="col" class="num">Min</th><th scope="col" class="num">Median</th><th scope="col" class="num">Mean</th><th scope="col" class="num">Max</th><th scope="col" class="num">Std dev</th>
			</tr></thead>
			<tbody>${columns.map(row)}</tbody>
		</table>`);

const row = (column) => html`
	<tr>
		<th scope="row">${column.name}<br><span class="quiet">${column.type}</span></th>
		<td>${shape(column)}</td>
		${[column.nulls, column.distinct, column.min, column.quantiles?.['0.5'], column.mean, column.max, column.stddev].map((value) => html`<td class="num">${cell(value)}</td>`)}
	</tr>`;

/** cell keeps a long text from widening the table. */
function cell(value) {
	const text = number(value);
	return text.length > 20 ? html`<span title=${text}>${text.slice(0, 19)}…</span>` : text;
}

function shape(column) {
	if (column.histogram?.length) return histogram(column);
	if (column.top?.length && column.distinct < column.count / 2) return top(column);
	return html`<span class="quiet">nearly all different</span>`;
}

const size = { width: 180, height: 44 };

/** histogram has a sentence for who cannot see it and a title on each bar for who points at it. */
function histogram({ name, histogram: bins }) {
	const most = Math.max(1, ...bins.map(({ count }) => count));
	const step = size.width / bins.length;
	const peak = bins.find(({ count }) => count === most) ?? bins[0];
	const range = ({ from, to }) => `${number(from)} to ${number(to)}: `;
	return html`
		<svg class="histogram" role="img" viewBox=${`0 0 ${size.width} ${size.height}`} width=${size.width} height=${size.height}
			aria-label=${`Histogram of ${name}, ${bins.length} bins, most in ${range(peak)}${number(most)}`}>
			${bins.map((each, i) => bar(each, i * step, step, (size.height - 2) * (each.count / most), range(each)))}
			<path class="axis" d=${`M0 ${size.height - 0.5}H${size.width}`}></path>
		</svg>`;
}

const bar = ({ count }, x, step, height, range) => {
	const drawn = count > 0 ? Math.max(height, 1.5) : 0;
	return svg`<g><rect class="bar" x=${x + 0.5} y=${size.height - 1 - drawn} width=${Math.max(step - 1, 0.5)} height=${drawn} rx="1"></rect><title>${range}${number(count)}</title></g>`;
};

const topShown = 3;

function top({ top: values, count }) {
	const list = values.slice(0, topShown);
	return html`<ul class="top">${list.map(({ value, count: n }) => html`
		<li><span class="cut" title=${String(value)}>${String(value)}</span><meter min="0" max=${count || n} value=${n} aria-label=${`Share of ${value}`}></meter><span class="number quiet">${number(n)}</span></li>`)}</ul>`;
}
