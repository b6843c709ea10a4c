// SPDX-License-Identifier: Apache-2.0
// The events on RabbitMQ: listens beside the services on a queue of its own, publishes as they do, and judges each message by
// contracts/asyncapi.yaml. Must never take a message from a service's queue.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import amqp from 'amqplib';
import YAML from 'yaml';

import { uuid7 } from './ids.mjs';
import { ROOT, stack } from './stack.mjs';
import { until } from './until.mjs';

export const EXCHANGE = 'gwasuwon.events';
export const DEAD_QUEUE = 'gwasuwon.dead';
export const asyncapi = YAML.parse(readFileSync(join(ROOT, 'contracts/asyncapi.yaml'), 'utf8'));

const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false });
addFormats(ajv);
ajv.addSchema({ components: asyncapi.components }, 'asyncapi');
const validators = new Map(
  Object.values(asyncapi.components.messages).map((message) => [
    message.name,
    { payload: ajv.compile({ $ref: `asyncapi${message.payload.$ref}` }), headers: ajv.compile({ $ref: `asyncapi${message.headers.$ref}` }) },
  ]),
);
export const eventTypes = [...validators.keys()];

// Throws when a message is not what the contract says.
export function checkMessage({ type, routingKey, body, headers, contentType, isPersistent }) {
  const rules = validators.get(type);
  const wrong = (what) => new Error(`event ${type} against its contract: ${what}\n${JSON.stringify(body)}`);
  if (!rules) throw wrong('no such event');
  if (routingKey !== type) throw wrong(`its routing key is ${routingKey}`);
  if (contentType !== asyncapi.defaultContentType) throw wrong(`its content type is ${contentType}`);
  if (!isPersistent) throw wrong('it is not persistent');
  if (!rules.payload(body)) throw wrong(ajv.errorsText(rules.payload.errors));
  if (!rules.headers(headers)) throw wrong(`headers: ${ajv.errorsText(rules.headers.errors)}`);
  if (headers.traceparent !== body.traceparent) throw wrong(`traceparent differs in the headers: ${headers.traceparent}`);
}

// Listens to all events from now on: { all, find, close }.
export async function listen(pattern = '#') {
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  const channel = await connection.createChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true, autoDelete: true });
  await channel.bindQueue(queue, EXCHANGE, pattern);
  const all = [];
  await channel.consume(
    queue,
    (message) => {
      const body = JSON.parse(message.content.toString('utf8'));
      const { headers, contentType, deliveryMode } = message.properties;
      all.push({ type: body.type, routingKey: message.fields.routingKey, body, headers, contentType, isPersistent: deliveryMode === 2 });
    },
    { noAck: true },
  );
  return {
    all,
    of: (type, subject) => all.filter((event) => event.type === type && event.body.subject === subject),
    // The first event of that type and subject, when it comes; it fits its contract.
    find: async (type, subject, isIt = () => true, limit = 5000) => {
      const event = await until(() => all.find((one) => one.type === type && one.body.subject === subject && isIt(one.body.data)), {
        within: limit,
        what: `event ${type} of ${subject}`,
      });
      checkMessage(event);
      return event;
    },
    close: () => connection.close(),
  };
}

export const cloudEvent = (type, source, subject, data, more = {}) => ({
  specversion: '1.0',
  id: uuid7(),
  source,
  type,
  subject,
  time: new Date().toISOString(),
  datacontenttype: 'application/json',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  data,
  ...more,
});

// Publishes as a service would, and returns when the broker has it. `bodies` may be anything JSON, or a Buffer.
export async function publishEvents(routingKey, ...bodies) {
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  const channel = await connection.createConfirmChannel();
  for (const body of bodies) {
    const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    channel.publish(EXCHANGE, routingKey, content, {
      persistent: true,
      contentType: asyncapi.defaultContentType,
      headers: { traceparent: body.traceparent ?? '' },
    });
  }
  await channel.waitForConfirms();
  await connection.close();
}

// Messages in the dead-letter queue, looked at and put back.
export async function deadLetters() {
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  const channel = await connection.createChannel();
  const found = [];
  for (;;) {
    const message = await channel.get(DEAD_QUEUE, { noAck: false });
    if (!message) break;
    found.push(message.content.toString('utf8'));
  }
  await connection.close(); // unacknowledged: they stay
  return found;
}

export async function queueDepth(queue) {
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  try {
    return (await (await connection.createChannel()).checkQueue(queue)).messageCount;
  } finally {
    await connection.close();
  }
}
