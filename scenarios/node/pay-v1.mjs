// The official client of version 1 pays one URL: `node pay-v1.mjs URL`, the key in BUYER_KEY. Prints
// the same JSON object as pay.mjs.
import { createSigner, decodeXPaymentResponse, wrapFetchWithPayment } from 'x402-fetch';

const signer = await createSigner('base-sepolia', process.env.BUYER_KEY);

let payment = null;
const watched = (input, init) => {
  payment = new Headers(init?.headers).get('x-payment') ?? payment;
  return fetch(input, init);
};

const answer = await wrapFetchWithPayment(watched, signer)(process.argv[2]);
const receipt = answer.headers.get('x-payment-response');
console.log(
  JSON.stringify({
    status: answer.status,
    body: await answer.text(),
    payment,
    cacheControl: answer.headers.get('cache-control'),
    receipt: receipt === null ? null : decodeXPaymentResponse(receipt),
  }),
);
