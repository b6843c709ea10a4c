// SPDX-License-Identifier: Apache-2.0
// One number of a service's /metrics, by the whole name of its series. Must never guess: a series that is not there is null.

export async function metricAt(admin, series) {
  const text = await (await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(5000) })).text();
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line ? Number(line.slice(series.length + 1)) : null;
}
