// The official facilitator behind HTTP: `node facilitator.mjs PORT RPC_URL [POLLING_MS]`, its key in
// SIGNER_KEY. Prints "ready".
import express from 'express';
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { x402Facilitator } from '@x402/core/facilitator';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { registerExactEvmScheme } from '@x402/evm/exact/facilitator';

const [port, url, polling = '50'] = process.argv.slice(2);
const account = privateKeyToAccount(process.env.SIGNER_KEY);
const chain = { ...baseSepolia, rpcUrls: { default: { http: [url] } } };
const pollingInterval = Number(polling);
const client = createWalletClient({ account, chain, transport: http(url), pollingInterval });
const signer = toFacilitatorEvmSigner({ ...client.extend(publicActions), address: account.address });

const facilitator = new x402Facilitator();
registerExactEvmScheme(facilitator, { signer, networks: 'eip155:84532' });

const app = express();
app.use(express.json());
app.get('/supported', (request, response) => response.json(facilitator.getSupported()));
for (const verb of ['verify', 'settle']) {
  app.post(`/${verb}`, async (request, response) => {
    try {
      const { paymentPayload, paymentRequirements } = request.body;
      response.json(await facilitator[verb](paymentPayload, paymentRequirements));
    } catch (error) {
      response.status(500).json({ error: String(error) });
    }
  });
}
app.listen(Number(port), '127.0.0.1', () => console.log('ready'));
