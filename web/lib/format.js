// Numbers and times as people read them.

/** bytes: 1 kB is 1000 bytes, as in file managers and on disks. */
export function bytes(n) {
	if (n == null) return '–';
	if (n < 1000) return `${n} B`;
	const power = Math.min(Math.floor(Math.log10(n * 1.0005) / 3), 5);
	return `${short(n / 1000 ** power)} ${['', 'kB', 'MB', 'GB', 'TB', 'PB'][power]}`;
}

const short = (n) => (n >= 99.95 ? n.toFixed(0) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2)).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');

/** number keeps what matters of a measurement: grouped digits, five significant ones where there is a fraction. */
export function number(n) {
	if (typeof n !== 'number') return n == null ? '–' : String(n);
	if (Number.isInteger(n)) return n.toLocaleString('en');
	const size = Math.abs(n);
	if (size >= 1e9 || size < 1e-4) return n.toPrecision(4);
	return n.toLocaleString('en', { maximumSignificantDigits: 5 });
}

/** amount is a count in a unit that a task reported: bytes get a size, the rest its name. */
export const amount = (n, unit) => (unit === 'bytes' ? bytes(n) : `${number(n)}${unit ? ` ${unit}` : ''}`);

/** saved says how the second size stands to the first. */
export function saved(before, after) {
	if (!before || after == null) return '';
	const percent = (100 * (before - after)) / before;
	const rounded = Math.abs(percent) < 10 ? Math.abs(percent).toFixed(1) : Math.round(Math.abs(percent));
	if (Math.abs(percent) < 0.05) return 'same size';
	return `${rounded} % ${percent > 0 ? 'smaller' : 'larger'}`;
}

/** duration of milliseconds. */
export function duration(ms) {
	if (!(ms >= 0)) return '–';
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
	const s = Math.round(ms / 1000);
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** between is the time from one RFC 3339 time to another, or to now. */
export function between(from, to) {
	return set(from) ? duration((set(to) ? Date.parse(to) : Date.now()) - Date.parse(from)) : '–';
}

/** set says whether a time has come: servers write "never" as null, as nothing or as year 1. */
export const set = (time) => Boolean(time) && !time.startsWith('0001-');

/** relative: "3 min ago", "in 2 h". */
export function relative(time, now = Date.now()) {
	const s = Math.round((Date.parse(time) - now) / 1000);
	const size = Math.abs(s);
	if (size < 5) return 'just now';
	const [n, unit] = size < 60 ? [size, 's'] : size < 3600 ? [Math.round(size / 60), 'min'] : size < 86_400 ? [Math.round(size / 3600), 'h'] : [Math.round(size / 86_400), 'd'];
	return s < 0 ? `${n} ${unit} ago` : `in ${n} ${unit}`;
}

/** shortID is the end of an id: UUIDv7 begins with the time, so neighbours differ at the end. */
export const shortID = (id) => (id.length > 12 ? id.slice(-8) : id);
