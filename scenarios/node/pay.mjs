// The official client pays one URL: `node pay.mjs URL`, the key in BUYER_KEY. Prints one JSON object:
// status, body, the payment header it sent, and the decoded receipt.
import { wrapFetchWithPayment, x402Client, decodePaymentResponseHeader } from '@x402/fetch';
import { ExactEvmScheme } from '@x402/evm/exact/client';
import { privateKeyToAccount } from 'viem/accounts';

const url = process.argv[2];
const account = privateKeyToAccount(process.env.BUYER_KEY);
const client = new x402Client().register('eip155:*', new ExactEvmScheme(account));

let payment = null;
const watched = (input, init) => {
  const request = new Request(input, init);
  payment = request.headers.get('payment-signature') ?? payment;
  return fetch(request);
};

const answer = await wrapFetchWithPayment(watched, client)(url);
const receipt = answer.headers.get('payment-response');
console.log(
  JSON.stringify({
    status: answer.status,
    body: await answer.text(),
    payment,
    cacheControl: answer.headers.get('cache-control'),
    receipt: receipt === null ? null : decodePaymentResponseHeader(receipt),
  }),
);
