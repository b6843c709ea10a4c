// SPDX-License-Identifier: Apache-2.0
// What must hold of cancelled orders: money back once, nothing half done, and what was answered is what happened. Empty where the shop cannot
// cancel.

export const oneRefund = {
  invariant: 'one_refund',
  says: 'a cancelled order is paid back once and in full, others never',
  *check({ db }) {
    if (!db.refunds) return;
    for (const [orderId, order] of db.orders) {
      const refunds = db.refunds.get(orderId) ?? [];
      const want = order.status === 'CANCELLED' ? [order.total_krw] : [];
      const found = refunds.map(({ amount_krw }) => amount_krw);
      if (JSON.stringify(found) !== JSON.stringify(want)) yield { ids: { orderId }, expected: `refunds ${JSON.stringify(want)}, for the order is ${order.status}`, found: JSON.stringify(found) };
    }
  },
};

const STATE_OF = { CANCELLED: 'DONE' };

export const cancellationsSettled = {
  invariant: 'cancellations_settled',
  says: 'no cancellation stays half done, and its end is the order’s',
  *check({ db }) {
    if (!db.cancellations) return;
    for (const [orderId, { state }] of db.cancellations) {
      const status = db.orders.get(orderId)?.status;
      if (state === 'REQUESTED' || (state === 'DONE') !== (STATE_OF[status] === 'DONE')) yield { ids: { orderId }, expected: `settled, and DONE only if CANCELLED; the order is ${status}`, found: state };
    }
    for (const [orderId, { status }] of db.orders) if (status === 'CANCELLED' && !db.cancellations.has(orderId)) yield { ids: { orderId }, expected: 'a cancellation', found: 'none' };
  },
};

export const cancelsKept = {
  invariant: 'cancels_kept',
  says: 'a cancellation that was acknowledged is done, one that nobody asked for does not happen, one that was refused for good is not done',
  *check({ facts, db }) {
    for (const [orderId, attempts] of facts.cancels) {
      const order = db.orders.get(orderId);
      const done = attempts.find(({ result }) => result === 'ok');
      const refused = attempts.find(({ result, code }) => result === 'refused' && code === 'order_not_cancellable');
      if (done && order?.status !== 'CANCELLED') yield { ids: { orderId, attempt: done.n }, expected: 'CANCELLED', found: order?.status ?? 'no order' };
      if (refused && order?.status === 'CANCELLED') yield { ids: { orderId, attempt: refused.n }, expected: 'not cancelled, as was answered', found: 'CANCELLED' };
    }
    for (const [orderId, { status }] of db.orders) {
      if (status === 'CANCELLED' && !facts.cancels.has(orderId)) yield { ids: { orderId }, expected: 'an attempt to cancel', found: 'CANCELLED' };
    }
  },
};
