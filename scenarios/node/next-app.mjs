// The same application as express-app.mjs, in Next.js: `node next-app.mjs PORT`. In development mode,
// which compiles a route at its first request and so needs no build.
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import next from 'next';

const port = Number(process.argv[2]);
const dir = fileURLToPath(new URL('next-app', import.meta.url));
const app = next({ dev: true, dir, hostname: '127.0.0.1', port });
await app.prepare();
const handle = app.getRequestHandler();
createServer((request, response) => handle(request, response)).listen(port, '127.0.0.1', () => console.log('ready'));
