// The same request as a line for a shell.

/** quote makes one POSIX shell word of any text. */
export const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/**
 * submit is the line that sends file and job in one request and waits for the outcome.
 * @param {{type: string, params: any, name: string}} job
 */
export function submit({ type, params, name }, origin = location.origin) {
	const parts = [`type=${type}`];
	if (Object.keys(params ?? {}).length) parts.push(`params=${JSON.stringify(params)}`);
	const fields = parts.map((part) => `-F ${quote(part)}`);
	return [`curl -sS ${quote(`${origin}/v1/jobs?wait=30s`)}`, ...key(), ...fields, `-F ${quote(`file=@${formName(name)}`)}`].join(' \\\n  ');
}

/** download is the line that fetches an output. */
export const download = (url, name, origin = location.origin) => [`curl -sS -o ${quote(name)} ${quote(origin + url)}`, ...key()].join(' \\\n  ');

/** key is how a script signs in where the page needed it. The key itself is never shown. */
const key = () => (document.documentElement.hasAttribute('data-auth') ? ['-H "Authorization: Bearer $MILLRACE_KEY"'] : []);

/** formName keeps curl from reading ; and , in a file's name as its own syntax. */
const formName = (name) => (/[;,"\\]/.test(name) ? `"${name.replace(/["\\]/g, '\\$&')}"` : name);
