// A seller's Express application with the official middleware of version 1: `node seller-v1.mjs PORT
// FACILITATOR PAY_TO`. GET /paid costs $0.01; GET /served tells how often it ran. Prints "ready".
import express from 'express';
import { paymentMiddleware } from 'x402-express';

const [port, url, payTo] = process.argv.slice(2);

let served = 0;
const app = express();
app.use(paymentMiddleware(payTo, { 'GET /paid': { price: '$0.01', network: 'base-sepolia' } }, { url }));
app.get('/paid', (request, response) => {
  served += 1;
  response.json({ served });
});
app.get('/served', (request, response) => response.json({ served }));
app.listen(Number(port), '127.0.0.1', () => console.log('ready'));
