// SPDX-License-Identifier: Apache-2.0
// The run's own ear and mouth at the broker: hears every event, sends copies of real ones again in another order, and sends messages that nobody
// can take. Must never take a message from a service's queue, nor send an event that was not sent before and looks true.

import amqp from 'amqplib';
import { setTimeout as pause } from 'node:timers/promises';

import { uuid7 } from '../lib/ids.mjs';

const EXCHANGE = 'gwasuwon.events';
const KEPT = 400;
const STEP_MAX_MS = 5000;
const CONTENT = 'application/cloudevents+json';

export class Ear {
  #kept = [];
  #isOver = false;
  #connection = null;
  heard = 0;

  constructor(uri, watch) {
    Object.assign(this, { uri, watch });
  }

  start() {
    this.running = this.#live();
  }

  // The broker dies many times in a run: heard again from wherever it comes back.
  async #live() {
    while (!this.#isOver) {
      try {
        await this.#listen();
      } catch {
        /* it is down: again */
      }
      if (!this.#isOver) await pause(200);
    }
  }

  async #listen() {
    const connection = await amqp.connect(this.uri, { heartbeat: 5 });
    const ended = new Promise((resolve) => {
      connection.on('close', resolve);
      connection.on('error', resolve);
    });
    this.#connection = connection;
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true, arguments: { 'x-max-length': 10_000 } });
    await channel.bindQueue(queue, EXCHANGE, '#');
    await channel.consume(queue, (message) => this.#hear(message), { noAck: true });
    await ended;
  }

  #hear(message) {
    if (!message) return;
    this.heard += 1;
    const { routingKey } = message.fields;
    if (!/^(order|delivery)\./.test(routingKey) || message.properties.headers?.['x-chaos']) return;
    this.#kept.push({ routingKey, content: message.content, headers: message.properties.headers });
    if (this.#kept.length > KEPT) this.#kept.splice(0, KEPT / 4);
    if (routingKey === 'order.placed.v1') this.watch.arrive(JSON.parse(message.content.toString('utf8')).subject);
  }

  // Copies of what was heard, in another order than it came.
  copies(random, count) {
    return random.some(this.#kept, count);
  }

  async stop() {
    this.#isOver = true;
    await this.#connection?.close().catch(() => {});
    await this.running;
  }
}

// A broker that is killed in the middle of a step leaves the client waiting for its answer.
const soon = (step) => Promise.race([step, pause(STEP_MAX_MS, null, { ref: false }).then(() => Promise.reject(new Error('no answer')))]);

// Sends messages and waits for the broker's confirms: true when it has them all, false when that is not known.
async function publish(uri, messages) {
  let connection;
  try {
    connection = await soon(amqp.connect(uri, { heartbeat: 5, timeout: STEP_MAX_MS }));
    connection.on('error', () => {});
    const channel = await soon(connection.createConfirmChannel());
    channel.on('error', () => {});
    for (const { routingKey, content, headers } of messages) {
      channel.publish(EXCHANGE, routingKey, content, { persistent: true, contentType: CONTENT, headers: { ...headers, 'x-chaos': 1 } });
    }
    await soon(channel.waitForConfirms());
    return true;
  } catch {
    return false;
  } finally {
    if (connection) await soon(connection.close()).catch(() => connection.connection.stream.destroy());
  }
}

export const repeat = (uri, copies) => publish(uri, copies);

// ---- poison ------------------------------------------------------------------------------------------------------------

const envelope = (type, source, marker, data) => ({
  specversion: '1.0', id: uuid7(), source, type, subject: uuid7(), time: new Date().toISOString(), datacontenttype: 'application/json',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', data, chaosmarker: marker,
});

// What no consumer can take, each in its own way.
const POISONS = [
  (marker) => ({ routingKey: 'order.placed.v1', text: `{"specversion": "${marker}` }),
  (marker) => ({ routingKey: 'order.placed.v1', text: JSON.stringify(envelope('order.placed.v1', '/gwasuwon/order-manager', marker, { orderId: 'none' })) }),
  (marker) => ({ routingKey: 'delivery.status-changed.v1', text: JSON.stringify(envelope('delivery.status-changed.v1', '/gwasuwon/delivery-mock', marker, [])) }),
  (marker) => ({ routingKey: 'delivery.status-changed.v1', text: `${marker}\u0000` }),
];

export async function poison(uri, journal, random) {
  const marker = `chaos-poison-${uuid7()}`;
  const { routingKey, text } = random.pick(POISONS)(marker);
  return journal.attempt({ op: 'poison', marker, routingKey }, async () => ({
    result: (await publish(uri, [{ routingKey, content: Buffer.from(text), headers: {} }])) ? 'ok' : 'unknown',
  }));
}
