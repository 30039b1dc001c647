// The same application as express-app.mjs, in Hono: `node hono-app.mjs PORT`.
import { Hono } from 'hono';
import { serve } from '@hono/node-server';

let served = 0;
const app = new Hono();
app.get('/report', (context) => {
  served += 1;
  return context.json({ framework: 'hono', served });
});
app.get('/served', (context) => context.json({ served }));
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.argv[2]) }, () => console.log('ready'));
