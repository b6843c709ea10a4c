// SPDX-License-Identifier: Apache-2.0
// HTML from template literals: every value is escaped but what `html` itself made. Must never offer a way around that.

class Html {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

const MARKS = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (value) => String(value).replace(/[&<>"']/g, (mark) => MARKS[mark]);

function shown(value) {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(shown).join('');
  return value === null || value === undefined || value === false ? '' : escaped(value);
}

export const html = (strings, ...values) => new Html(strings.reduce((text, part, index) => text + shown(values[index - 1]) + part));

// Only for the form that oidc-provider makes for its own sign-out.
export const fromProvider = (form) => new Html(form);

export const layout = (title, body) => `<!doctype html>
${html`<html lang="ko">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="robots" content="noindex">
  <title>${title} · 과수원</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/auth/static/identity.css">
</head>
<body>
  <header><a href="/"><img src="/icon.svg" alt="" width="40" height="40"><span>과수원</span></a></header>
  <main>
    <h1>${title}</h1>
    ${body}
  </main>
</body>
</html>
`}`;

// field({ name, label, ... }): an input with its label, its hint and its place for autofill.
export const field = ({ name, label, type = 'text', value = '', autocomplete, hint, isInvalid = false, isFirst = false, inputmode, maxlength = 254 }) => html`
    <div class="field">
      <label for="${name}">${label}</label>
      <input id="${name}" name="${name}" type="${type}" value="${value}" autocomplete="${autocomplete}" maxlength="${maxlength}" required
        ${inputmode ? html`inputmode="${inputmode}"` : ''} ${hint ? html`aria-describedby="${name}-hint"` : ''} ${isInvalid ? html`aria-invalid="true"` : ''} ${isFirst ? html`autofocus` : ''}>
      ${hint ? html`<p class="hint" id="${name}-hint">${hint}</p>` : ''}
    </div>`;

export const notice = (text, kind = 'error') => (text ? html`<p class="notice ${kind}" role="${kind === 'error' ? 'alert' : 'status'}">${text}</p>` : '');
