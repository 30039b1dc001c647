// A seller's Express application with the official middleware: `node seller.mjs PORT FACILITATOR
// PAY_TO`. GET /paid costs $0.01; GET /served tells how often it ran. Prints "ready".
import express from 'express';
import { paymentMiddleware, x402ResourceServer } from '@x402/express';
import { HTTPFacilitatorClient } from '@x402/core/server';
import { ExactEvmScheme } from '@x402/evm/exact/server';

const NETWORK = 'eip155:84532';
const [port, facilitator, payTo] = process.argv.slice(2);
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator }));
server.register(NETWORK, new ExactEvmScheme());

let served = 0;
const app = express();
app.use(
  paymentMiddleware(
    {
      'GET /paid': {
        accepts: { scheme: 'exact', price: '$0.01', network: NETWORK, payTo },
        description: 'A page that costs a cent',
        mimeType: 'application/json',
      },
    },
    server,
  ),
);
app.get('/paid', (request, response) => {
  served += 1;
  response.json({ served });
});
app.get('/served', (request, response) => response.json({ served }));
app.listen(Number(port), '127.0.0.1', () => console.log('ready'));
