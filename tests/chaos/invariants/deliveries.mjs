// SPDX-License-Identifier: Apache-2.0
// What must hold of deliveries and of what orders know of them: one for each live order, none for others, every event applied once and in order.

import { isLive, isStored } from './orders.mjs';

const EDGES = new Set(['READY>READY', 'READY>ON_ROUTE', 'ON_ROUTE>ON_ROUTE', 'ON_ROUTE>DELIVERED', 'READY>CANCELLED']);
const FOLLOWS = { READY: ['PREPARING'], ON_ROUTE: ['SHIPPING'], DELIVERED: ['DELIVERED', 'CONFIRMED'], CANCELLED: ['CANCELLED'] };
const RANK = ['READY', 'ON_ROUTE', 'DELIVERED'];

export const oneDeliveryPerOrder = {
  invariant: 'one_delivery_per_order',
  says: 'every live order has one delivery, a cancelled one no live one, and there is none without an order',
  *check({ db }) {
    for (const [orderId, order] of db.orders) {
      const live = (db.deliveries.get(orderId) ?? []).filter(({ status, delivery_id }) => status !== 'CANCELLED' && delivery_id);
      const want = isLive(order) ? 1 : 0;
      if (live.length !== want) yield { ids: { orderId }, expected: `${want} live deliveries, for the order is ${order.status}`, found: JSON.stringify(db.deliveries.get(orderId) ?? []) };
    }
    for (const orderId of db.deliveries.keys()) if (!isStored(db.orders.get(orderId))) yield { ids: { orderId }, expected: 'an order', found: 'a delivery without one' };
  },
};

export const trackingGapless = {
  invariant: 'tracking_gapless',
  says: 'a delivery is created once, moves along allowed edges, and its tracking has no gap',
  *check({ db }) {
    for (const [orderId, [delivery]] of db.deliveries) {
      const steps = db.tracking.get(orderId) ?? [];
      if (!delivery.delivery_id && steps.length === 0) continue; // a tombstone
      const isGood = steps.filter(({ type }) => type === 'CREATED').length === 1 && steps.at(-1)?.status === delivery.status && steps.length === delivery.sequence &&
        steps.every(({ sequence, status }, i) => sequence === i + 1 && (i === 0 || EDGES.has(`${steps[i - 1].status}>${status}`)));
      if (!isGood) yield { ids: { orderId }, expected: `1 to ${delivery.sequence} up to ${delivery.status}`, found: steps.map(({ sequence, type, status }) => `${sequence}:${type}/${status}`).join(' ') };
    }
  },
};

export const eventsApplied = {
  invariant: 'events_applied',
  says: 'an order knows the last status of its delivery and has followed it',
  *check({ db }) {
    for (const [orderId, order] of db.orders) {
      const delivery = db.deliveries.get(orderId)?.[0];
      if (!isLive(order) || !delivery?.delivery_id) continue; // no delivery: told elsewhere; cancelled: its delivery's events change nothing
      // The sequence of the step that changed the status last: the others are told to nobody.
      const changed = (db.tracking.get(orderId) ?? []).filter(({ status }, i, all) => i === 0 || all[i - 1].status !== status).at(-1)?.sequence;
      if (order.delivery_status !== delivery.status || order.delivery_sequence !== changed || !FOLLOWS[delivery.status]?.includes(order.status)) {
        yield { ids: { orderId }, expected: `${FOLLOWS[delivery.status]?.join(' or ')} after delivery ${delivery.status} (${changed})`, found: `${order.status} after delivery ${order.delivery_status} (${order.delivery_sequence})` };
      }
    }
  },
};

export const advancesKept = {
  invariant: 'advances_kept',
  says: 'a box that was moved on by hand has moved on',
  *check({ facts, db }) {
    for (const { n, orderId, status, result } of facts.advances) {
      if (result !== 'ok') continue;
      const delivery = db.deliveries.get(orderId)?.[0];
      if (RANK.indexOf(delivery?.status) < RANK.indexOf(status)) yield { ids: { orderId, attempt: n }, expected: `${status} or later`, found: delivery?.status ?? 'no delivery' };
    }
  },
};

const CONSUMERS = { 'order.placed.v1': ['delivery-mock.order-placed'], 'delivery.status-changed.v1': ['order-manager.delivery-status-changed'], 'order.cancelled.v1': ['fruit-catalog.order-cancelled'], 'order.erased.v1': ['delivery-mock.order-erased', 'fruit-catalog.order-erased'] };

export const eventsOnce = {
  invariant: 'events_once',
  says: 'each event of the outboxes was taken in by each of its consumers, and nothing else was',
  *check({ db }) {
    const known = new Map(db.outbox.map((row) => [row.event_id, row]));
    const taken = new Set(db.inbox.map(({ consumer, event_id }) => `${consumer} ${event_id}`));
    for (const { event_id, type, subject } of db.outbox) {
      for (const consumer of CONSUMERS[type] ?? []) {
        if (!taken.has(`${consumer} ${event_id}`)) yield { ids: { eventId: event_id, subject }, expected: `in the inbox of ${consumer}`, found: 'not there' };
      }
    }
    for (const { consumer, event_id } of db.inbox) {
      if (!known.has(event_id)) yield { ids: { eventId: event_id }, expected: 'an event that was sent', found: `only in the inbox of ${consumer}` };
    }
  },
};
