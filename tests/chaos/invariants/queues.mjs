// SPDX-License-Identifier: Apache-2.0
// What must hold of what carries events: nothing left behind, and nothing dead but what was poisoned.

export const outboxDrained = {
  invariant: 'outbox_drained',
  says: 'every event that was stored has left',
  *check({ db }) {
    for (const { schema, count, first } of db.unsent) if (count > 0) yield { ids: { outbox: `${schema}.outbox`, first }, expected: 'no unsent event', found: `${count} unsent` };
  },
};

export const queuesEmpty = {
  invariant: 'queues_empty',
  says: 'every event that left was taken',
  *check({ broker }) {
    for (const { name, messages } of broker.depths) if (messages > 0) yield { ids: { queue: name }, expected: 'empty', found: `${messages} messages` };
  },
};

const subjectOf = (text) => {
  try {
    const { id, type, subject } = JSON.parse(text);
    return { eventId: id, type, subject };
  } catch {
    return { text: text.slice(0, 80) };
  }
};

export const deadLettersExact = {
  invariant: 'dead_letters_exact',
  says: 'the dead letters are what was poisoned: all of it that the broker took, and nothing else; once, unless the broker died',
  *check({ facts, broker }) {
    // A broker that dies between a dead letter's arrival and its departure moves it again: at least once is its promise.
    const mayRepeat = facts.faults.some(({ target }) => target === 'rabbitmq');
    const counts = new Map(facts.poisons.map(({ marker }) => [marker, 0]));
    for (const { text, queue, reason } of broker.dead) {
      const marker = /chaos-poison-[0-9a-f-]{36}/.exec(text)?.[0];
      if (counts.has(marker)) counts.set(marker, counts.get(marker) + 1);
      else yield { ids: { ...subjectOf(text), queue }, expected: 'only poison', found: `an event died of "${reason}"` };
    }
    for (const { n, marker, result } of facts.poisons) {
      const found = counts.get(marker);
      if ((found > 1 && !mayRepeat) || (found === 0 && result === 'ok')) yield { ids: { marker, attempt: n }, expected: result === 'ok' ? 'a dead letter' : 'at most one', found: `${found}` };
    }
  },
};
