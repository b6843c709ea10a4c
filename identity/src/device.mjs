// SPDX-License-Identifier: Apache-2.0
// What the page of signed-in devices calls a device: browser and system, as coarse as that. Travels beside a request, for the store is not
// given it. Must never keep the whole User-Agent, nor an address.

import { AsyncLocalStorage } from 'node:async_hooks';

const current = new AsyncLocalStorage();

const BROWSERS = [[/Edg\//, 'Edge'], [/SamsungBrowser\//, '삼성 인터넷'], [/Whale\//, '웨일'], [/KAKAOTALK/i, '카카오톡'], [/Firefox\//, 'Firefox'], [/Chrome\//, 'Chrome'], [/Safari\//, 'Safari']];
const SYSTEMS = [[/iPhone/, 'iPhone'], [/iPad/, 'iPad'], [/Android/, 'Android'], [/Windows/, 'Windows'], [/Mac OS X/, 'macOS'], [/Linux/, 'Linux']];

const nameIn = (table, agent) => table.find(([pattern]) => pattern.test(agent))?.[1];

export function deviceOf(agent = '') {
  const names = [nameIn(BROWSERS, agent), nameIn(SYSTEMS, agent)].filter(Boolean);
  return names.length ? names.join(' · ') : '알 수 없는 기기';
}

export const withDevice = (agent, work) => current.run(deviceOf(agent), work);
export const deviceOfRequest = () => current.getStore() ?? null;
