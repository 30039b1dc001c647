// Routes are compiled apart; the process is what they have in common.
export function count(more) {
  globalThis.served = (globalThis.served ?? 0) + more;
  return globalThis.served;
}
