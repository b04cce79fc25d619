// node sharp.mjs PORT REDIS_PORT WORKERS CONCURRENCY
//
// Resizing as a team on Node.js would write it today: the picture goes into Redis, a BullMQ job behind it, one of WORKERS processes resizes it with
// sharp, and the answer comes back through Redis. sharp keeps no cache of operations, which would only make equal pictures look cheap, and takes one
// thread for a picture, since the processes are one for each core.
import http from 'node:http';
import cluster from 'node:cluster';
import { Queue, QueueEvents, Worker } from 'bullmq';
import Redis from 'ioredis';
import sharp from 'sharp';

const [port, redisPort, workers, concurrency] = process.argv.slice(2).map(Number);
const connect = () => new Redis(redisPort, '127.0.0.1', { maxRetriesPerRequest: null });
const keep = ['EX', 600];

function serve() {
	for (let i = 0; i < workers; i++) cluster.fork();
	const redis = connect();
	const queue = new Queue('pictures', { connection: connect() });
	const events = new QueueEvents('pictures', { connection: connect() });
	http.createServer(async (request, response) => {
		try {
			const parts = [];
			for await (const part of request) parts.push(part);
			const id = crypto.randomUUID();
			await redis.set(`in:${id}`, Buffer.concat(parts), ...keep);
			const job = await queue.add('resize', { id }, { removeOnComplete: true, attempts: 3 });
			await job.waitUntilFinished(events, 60_000);
			response.setHeader('Content-Type', 'image/jpeg');
			response.end(await redis.getdelBuffer(`out:${id}`));
		} catch (error) {
			response.statusCode = 500;
			response.end(String(error));
		}
	}).listen(port, '127.0.0.1', () => console.log('ready'));
}

function work() {
	sharp.cache(false);
	sharp.concurrency(1);
	const redis = connect();
	new Worker('pictures', async ({ data: { id } }) => {
		const picture = sharp(await redis.getdelBuffer(`in:${id}`)).autoOrient().resize({ width: 800, withoutEnlargement: true }).jpeg({ quality: 80 });
		await redis.set(`out:${id}`, await picture.toBuffer(), ...keep);
	}, { connection: connect(), concurrency });
}

if (cluster.isPrimary) serve();
else work();
