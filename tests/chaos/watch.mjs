// SPDX-License-Identifier: Apache-2.0
// What is in flight now, and how soon the shop works again after a fault. Exists because a kill that met nothing proves nothing. Must never
// decide about right or wrong: that is the checker's.

// Which services work on an attempt, beside the one it was sent to. PostgreSQL works on all.
const TOUCHES = {
  place: ['order-manager', 'fruit-catalog', 'rabbitmq'],
  cancel: ['order-manager', 'delivery-mock', 'fruit-catalog', 'rabbitmq'],
  adjust: ['fruit-catalog'],
  advance: ['delivery-mock', 'rabbitmq'],
  read: ['order-manager', 'delivery-mock'],
  browse: ['fruit-catalog'],
};

// What shows that a part works again: an attempt that began after everything answered, and succeeded.
const PROOFS = { 'order-manager': 'place', 'fruit-catalog': 'place', postgres: 'place', 'delivery-mock': 'read-delivery', rabbitmq: 'event' };

const OWN_PROOF = new Set(['order-manager', 'delivery-mock']); // another instance's success proves nothing

export class Watch {
  #open = new Map();
  #travelling = new Map(); // orderId -> since when its event is under way
  #faulty = new Map(); // what is broken now, by name
  #waiting = []; // healed parts whose first success has not come
  recoveries = [];
  succeeded = 0;

  begin(n, op, to) {
    this.#open.set(n, { op, to });
  }

  end(n) {
    this.#open.delete(n);
  }

  // Attempts open now that this part works on, and events on their way through it.
  inFlight({ name, base }) {
    let count = 0;
    for (const { op, to } of this.#open.values()) if (base === 'postgres' || to === name || (TOUCHES[op]?.includes(base) && base !== to.replace(/-\d+$/, ''))) count += 1;
    if (base === 'rabbitmq' || base === 'delivery-mock') count += this.#travelling.size;
    return count;
  }

  leave(orderId) {
    if (this.#travelling.size < 5000) this.#travelling.set(orderId, performance.now());
  }

  // An event came out of the broker.
  arrive(orderId) {
    this.#travelling.delete(orderId);
    this.success('event', performance.now());
  }

  forgetOld() {
    const limit = performance.now() - 5000;
    for (const [orderId, since] of this.#travelling) if (since < limit) this.#travelling.delete(orderId);
  }

  broken(name) {
    this.#faulty.set(name, (this.#faulty.get(name) ?? 0) + 1);
  }

  // The part answers again; its recovery is counted from when nothing else is broken either.
  healed(name, { base } = {}) {
    const left = (this.#faulty.get(name) ?? 1) - 1;
    if (left > 0) this.#faulty.set(name, left);
    else this.#faulty.delete(name);
    if (base) this.#waiting.push({ name, proof: PROOFS[base], to: OWN_PROOF.has(base) ? name : null, from: performance.now() });
    if (this.#faulty.size === 0) this.#clearSince = performance.now();
  }

  #clearSince = performance.now();

  // An attempt of that kind, begun at `since` and sent to that instance (null: through others), has succeeded.
  success(proof, since, to = null) {
    this.succeeded += 1;
    const now = performance.now();
    this.#waiting = this.#waiting.filter((one) => {
      if (one.proof !== proof || since < one.from || (one.to && one.to !== to)) return true;
      // While something else is broken the wait is that fault's too: told apart. After one ended, it is counted from that end.
      const isShadowed = this.#faulty.size > 0;
      const ms = Math.round(now - (isShadowed ? one.from : Math.max(one.from, this.#clearSince)));
      this.recoveries.push({ name: one.name, ms: Math.max(0, ms), isShadowed });
      return false;
    });
  }

  // A row for each part that was killed: how often it came back, and the slowest and the middle first success; while something else was broken too, apart.
  get table() {
    const names = [...new Set(this.recoveries.map(({ name }) => name))].sort();
    const times = (name, isShadowed) => this.recoveries.filter((one) => one.name === name && one.isShadowed === isShadowed).map(({ ms }) => ms).sort((a, b) => a - b);
    return names.map((name) => {
      const alone = times(name, false), shadowed = times(name, true);
      return { name, times: alone.length + shadowed.length, medianMs: alone[alone.length >> 1] ?? null, slowestMs: alone.at(-1) ?? null, slowestShadowedMs: shadowed.at(-1) ?? null };
    });
  }

  // Of all parts, with nothing else broken.
  get slowestMs() {
    return Math.max(0, ...this.table.map(({ slowestMs }) => slowestMs ?? 0));
  }

  get unrecovered() {
    return this.#waiting.map(({ name }) => name);
  }
}
