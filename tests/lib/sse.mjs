// SPDX-License-Identifier: Apache-2.0
// A reader of Server-Sent Events (WHATWG HTML, 9.2): gives the events of a stream one by one as they come.

// sse(url, { token, lastEventId }): { status, type, events (async iterator), close }
export async function sse(url, { token, lastEventId } = {}) {
  const abort = new AbortController();
  const answer = await fetch(url, {
    signal: abort.signal,
    headers: {
      accept: 'text/event-stream',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(lastEventId !== undefined ? { 'last-event-id': String(lastEventId) } : {}),
    },
  });
  async function* events() {
    let text = '';
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for await (const chunk of answer.body) {
      text += decoder.decode(chunk, { stream: true });
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const fields = { data: [] };
        for (const line of text.slice(0, end).split('\n')) {
          if (line.startsWith(':') || line === '') continue;
          const [, name, value] = /^([^:]+):? ?(.*)$/.exec(line);
          if (name === 'data') fields.data.push(value);
          else fields[name] = value;
        }
        text = text.slice(end + 2);
        if (fields.data.length > 0) yield { id: fields.id, event: fields.event, data: JSON.parse(fields.data.join('\n')) };
      }
    }
  }
  return { status: answer.status, type: answer.headers.get('content-type'), headers: answer.headers, events: events(), close: () => abort.abort() };
}

// The next n events.
export async function take(stream, n) {
  const got = [];
  while (got.length < n) {
    const { value, done } = await stream.events.next();
    if (done) break;
    got.push(value);
  }
  return got;
}
