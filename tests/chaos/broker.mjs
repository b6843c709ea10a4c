// SPDX-License-Identifier: Apache-2.0
// What the broker holds after a run: the depth of each queue, and the dead letters, looked at and put back. Must never take a message away.

import amqp from 'amqplib';

const DEAD = 'gwasuwon.dead';

export async function queues(management) {
  const url = new URL(management);
  const answer = await fetch(`${url.origin}/api/queues/%2F`, {
    headers: { authorization: `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}` },
    signal: AbortSignal.timeout(5000),
  });
  if (!answer.ok) throw new Error(`the broker answered ${answer.status}`);
  // Exclusive queues are listeners of tests; parked or dead messages are judged by their content.
  return (await answer.json()).filter(({ exclusive, name }) => !exclusive && name !== DEAD).map(({ name }) => name);
}

// Counts as the queues themselves say it: the management's numbers are some seconds old.
export async function depths(uri, names) {
  const connection = await amqp.connect(uri);
  try {
    const channel = await connection.createChannel();
    const found = [];
    for (const name of names) found.push({ name, messages: (await channel.checkQueue(name)).messageCount });
    return found;
  } finally {
    await connection.close();
  }
}

export async function deadLetters(uri) {
  const connection = await amqp.connect(uri);
  try {
    const channel = await connection.createChannel();
    const found = [];
    for (let message = await channel.get(DEAD); message; message = await channel.get(DEAD)) {
      const death = message.properties.headers?.['x-death']?.[0];
      found.push({ text: message.content.toString('utf8'), queue: death?.queue, reason: death?.reason });
    }
    return found;
  } finally {
    await connection.close(); // unacknowledged: they stay
  }
}
