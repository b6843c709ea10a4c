// SPDX-License-Identifier: Apache-2.0
// Opens Swagger UI on the three contracts, with a selector between them. A file of its own because the page allows no inline script.
// Must never send a contract or a token to another address: the outside validator is off, and a token is forgotten with the page.
/* global SwaggerUIBundle, SwaggerUIStandalonePreset */

const contract = (name) => ({ name, url: `openapi/${name}.yaml` });

window.ui = SwaggerUIBundle({
  urls: ['fruit-catalog', 'order-manager', 'delivery-mock'].map(contract),
  dom_id: '#swagger-ui',
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: 'StandaloneLayout',
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
