// SPDX-License-Identifier: Apache-2.0
// The events that no service could apply: lists them, shows one, sends them back to the queue they came from, throws them away.
// Must never lose one: a letter is only taken out of gwasuwon.dead after the broker has confirmed that its queue has it, or when it was
// asked to be thrown away. Whatever else happens, also a kill at any moment, leaves it where it is.
//
//   ./dev dead-letters list [--json]             one line each
//   ./dev dead-letters show ID                   the whole event, where it came from, and why
//   ./dev dead-letters replay ID|--all           back to its queue; an event that was applied already has no second effect
//   ./dev dead-letters discard ID|--all          gone for good; prints what was thrown away
//
// What is sent back or thrown away is put on record first, in the table `audit` of the service that could not apply it.
//
// Environment: RABBITMQ_URI, POSTGRES_URI.

import { createHash } from 'node:crypto';
import { userInfo } from 'node:os';
import process from 'node:process';

import amqp from 'amqplib';
import pg from 'pg';

const QUEUE = 'gwasuwon.dead';
const USAGE = '사용법: ./dev dead-letters list [--json] | show ID | replay ID|--all | discard ID|--all';
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g; // a letter may be anything: it must not steer the terminal

class Failure extends Error {}

// ---- a letter

function parse(content) {
  try {
    const event = JSON.parse(content.toString('utf8'));
    return event && typeof event === 'object' ? event : null;
  } catch {
    return null;
  }
}

// The event's id; of what has none, the beginning of its digest.
const idOf = (event, content) =>
  typeof event?.id === 'string' && /^[0-9A-Za-z-]{1,64}$/.test(event.id) ? event.id : `sha-${createHash('sha256').update(content).digest('hex').slice(0, 16)}`;

function letterOf(message) {
  const event = parse(message.content);
  const [death] = message.properties.headers?.['x-death'] ?? [];
  return {
    id: idOf(event, message.content),
    type: String(event?.type ?? message.fields.routingKey).replace(CONTROL, '?'),
    queue: death?.queue ?? null,
    reason: death?.reason ?? null,
    at: death?.time ? new Date(death.time.value * 1000).toISOString() : null,
    bytes: message.content.length,
    event,
    message,
  };
}

// ---- the broker

async function open() {
  const uri = process.env.RABBITMQ_URI;
  if (!uri) throw new Failure('RABBITMQ_URI가 없습니다: ./dev dead-letters 로 실행하십시오');
  const connection = await amqp.connect(uri, { timeout: 5000, clientProperties: { connection_name: 'dead-letters' } }).catch((error) => {
    throw new Failure(`RabbitMQ에 연결할 수 없습니다 (${error.code ?? 'refused'}): ./dev status`);
  });
  const channel = await connection.createConfirmChannel();
  const returned = new Set();
  const broken = new Promise((_, reject) => {
    for (const one of [connection, channel]) one.on('error', (error) => reject(new Failure(`RabbitMQ와의 연결이 끊겼습니다: ${error.message}`)));
  });
  broken.catch(() => {}); // heard by whoever waits at that moment
  channel.on('return', (message) => returned.add(message.properties.correlationId));
  return { connection, channel, returned, broken };
}

// Each letter that is there now, once, unacknowledged: what nobody acknowledges is back in the queue when the connection ends.
async function* letters({ channel, broken }) {
  const { messageCount } = await channel.checkQueue(QUEUE);
  for (let i = 0; i < messageCount; i += 1) {
    const message = await Promise.race([channel.get(QUEUE, { noAck: false }), broken]);
    if (!message) return;
    yield letterOf(message);
  }
}

// By the default exchange, to that one queue: other consumers of the type have had the event. Resolves when the broker has it safely.
async function sendBack(broker, letter) {
  const { content, properties } = letter.message;
  const { 'x-death': _, ...headers } = Object.fromEntries(Object.entries(properties.headers ?? {}).filter(([name]) => !name.startsWith('x-first-death') && !name.startsWith('x-last-death')));
  const correlationId = String(letter.message.fields.deliveryTag);
  if (!letter.queue) throw new Failure(`${letter.id}: 어느 큐에서 왔는지 알 수 없습니다`);
  const { contentType, messageId, timestamp } = properties;
  const confirmed = new Promise((resolve, reject) => {
    broker.channel.publish('', letter.queue, content, { persistent: true, mandatory: true, contentType, messageId, timestamp, headers, correlationId }, (error) =>
      error ? reject(new Failure(`${letter.id}: RabbitMQ가 받지 않았습니다`)) : resolve(),
    );
  });
  await Promise.race([confirmed, broker.broken]);
  if (broker.returned.has(correlationId)) throw new Failure(`${letter.id}: 큐 ${letter.queue}가 없습니다. 서비스를 켜면 다시 생깁니다`);
}

// ---- the record of privileged actions

const SCHEMAS = { 'fruit-catalog': 'catalog', 'order-manager': 'orders', 'delivery-mock': 'delivery' };
const ACTOR = `dev:${process.env.SUDO_USER ?? userInfo().username}`;

let opened = null; // one connection for all letters, opened by the first

async function connect() {
  const client = new pg.Client({ connectionString: process.env.POSTGRES_URI, connectionTimeoutMillis: 5000 });
  client.on('error', () => {}); // the next statement says so
  await client.connect();
  return client;
}

async function record(action, letter) {
  const schema = SCHEMAS[letter.queue?.split('.')[0]] ?? 'orders';
  try {
    opened ??= connect();
    const client = await opened;
    await client.query(`INSERT INTO ${schema}.audit (actor, role, action, subject, outcome, detail, trace_id) VALUES ($1, 'operator', $2, $3, 'done', $4, '')`, [
      ACTOR,
      action,
      letter.id,
      letter.type.slice(0, 100),
    ]);
  } catch (error) {
    throw new Failure(`${letter.id}: 감사 기록을 남길 수 없어 그대로 두었습니다 (${error.code ?? error.message})`);
  }
}

const closeDatabase = () => opened?.then((client) => client.end()).catch(() => {});

// ---- what is asked

const columns = (letter) => [letter.id.padEnd(36), letter.type.padEnd(28), (letter.queue ?? '?').padEnd(40), (letter.reason ?? '?').padEnd(14), letter.at ?? '?'].join('  ');

async function list(broker, [flag]) {
  const found = [];
  for await (const { event: _, message: __, ...letter } of letters(broker)) found.push(letter);
  if (flag === '--json') return console.log(JSON.stringify(found));
  if (found.length === 0) return console.log('배달하지 못한 이벤트가 없습니다');
  for (const letter of found) console.log(columns(letter));
  return console.log(`\n${found.length}건. 자세히: ./dev dead-letters show ID`);
}

async function show(broker, [id]) {
  let count = 0;
  for await (const { event, message, ...letter } of letters(broker)) {
    if (letter.id !== id) continue;
    count += 1;
    const deaths = message.properties.headers?.['x-death'] ?? [];
    const text = event ?? message.content.toString('utf8').replace(CONTROL, '?');
    console.log(JSON.stringify({ ...letter, deaths: deaths.map(({ queue, reason, count: times }) => ({ queue, reason, count: times })), event: text }, null, 2));
  }
  if (count === 0) throw new Failure(`${id}: 그런 이벤트가 없습니다`);
}

// Does `work` with the letters that were named, then takes each out of the queue. One that fails stays, and the others go on.
async function each(broker, id, work) {
  const faults = [];
  let done = 0;
  for await (const letter of letters(broker)) {
    if (id !== '--all' && letter.id !== id) continue;
    try {
      await work(letter);
      broker.channel.ack(letter.message);
      done += 1;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      faults.push(error.message);
    }
  }
  if (id !== '--all' && done + faults.length === 0) throw new Failure(`${id}: 그런 이벤트가 없습니다`);
  if (faults.length) throw new Failure(`${faults.join('\n')}\n${done}건 처리, ${faults.length}건은 그대로 남아 있습니다`);
  return done;
}

async function replay(broker, [id]) {
  const done = await each(broker, id, async (letter) => {
    await record('dead-letter.replay', letter);
    await sendBack(broker, letter);
    console.log(`다시 보냄  ${letter.id} -> ${letter.queue}`);
  });
  console.log(`${done}건을 다시 보냈습니다`);
}

async function discard(broker, [id]) {
  const done = await each(broker, id, async ({ event, message, ...letter }) => {
    await record('dead-letter.discard', letter);
    console.log(JSON.stringify({ ...letter, event: event ?? message.content.toString('utf8').replace(CONTROL, '?') }));
  });
  console.error(`${done}건을 버렸습니다`);
}

const verbs = { list: { run: list, takes: (args) => args.length === 0 || (args.length === 1 && args[0] === '--json') } };
for (const [name, run] of Object.entries({ show, replay, discard })) {
  verbs[name] = { run, takes: (args) => args.length === 1 && (!args[0].startsWith('-') || (args[0] === '--all' && name !== 'show')) };
}

async function main([name, ...args]) {
  const verb = Object.hasOwn(verbs, name ?? '') ? verbs[name] : null;
  if (!verb?.takes(args)) throw new Failure(USAGE);
  const broker = await open();
  try {
    await verb.run(broker, args);
    await broker.channel.close(); // not before the broker has seen every acknowledgement
  } finally {
    await broker.connection.close().catch(() => {}); // what is unacknowledged goes back, also when it is broken
    await closeDatabase();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error instanceof Failure ? error.message : error);
  process.exitCode = error instanceof Failure && error.message === USAGE ? 64 : 1;
});
