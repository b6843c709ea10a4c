// SPDX-License-Identifier: Apache-2.0
// Who may ask for what: clients, scopes, roles. Roles and service identities come from stack/accounts.json, which ./dev token reads too. Must
// never give a machine a person's scope, nor a person `internal`.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const directory = JSON.parse(readFileSync(new URL('../../stack/accounts.json', import.meta.url), 'utf8'));

// The API as RFC 8707 names it; who names no resource means it.
export const RESOURCE = 'urn:gwasuwon:api';
export const INTERNAL = 'internal';
export const WEB_CLIENT = 'gwasuwon-web';
export const PAGES_CLIENT = 'gwasuwon-account';

// What the page of consent says about each scope.
export const SCOPES = {
  'orders:read': '내 주문과 배송 상황을 봅니다',
  'orders:write': '내 이름으로 주문하고 취소합니다',
  'catalog:write': '내 농가의 상품과 재고를 바꿉니다',
  'deliveries:write': '배송 상태를 바꿉니다',
  admin: '모든 농가와 주문을 관리합니다',
};
export const OIDC_SCOPES = { openid: '내가 누구인지 확인합니다', profile: '아이디와 역할을 봅니다', email: '이메일 주소를 봅니다', offline_access: '로그아웃한 뒤에도 계속 접근합니다' };

export const scopesOf = (role) => directory.roles[role] ?? [];
export const serviceOf = (clientId) => directory.services.find((service) => service.name === clientId);

// Clients of the shop itself: nobody is asked whether the shop may be used by the shop.
export const isOwn = (clientId) => clientId === WEB_CLIENT || clientId === PAGES_CLIENT;

export function clientsOf({ webOrigins, issuer, keysDir }) {
  const people = { token_endpoint_auth_method: 'none', response_types: ['code'], id_token_signed_response_alg: 'RS256' };
  return [
    {
      ...people, client_id: WEB_CLIENT, client_name: '과수원', grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: webOrigins.map((origin) => `${origin}/shop/`), post_logout_redirect_uris: webOrigins.map((origin) => `${origin}/shop/`),
    },
    // For programs on a person's own machine (RFC 8252): any port of the loopback address, and the person is asked.
    {
      ...people, client_id: 'gwasuwon-cli', client_name: '내 컴퓨터의 프로그램', application_type: 'native', grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/callback'],
    },
    // The pages of this service send whoever is not signed in through the ordinary door.
    { ...people, client_id: PAGES_CLIENT, client_name: '내 계정', grant_types: ['authorization_code'], response_types: ['none', 'code'], redirect_uris: [`${issuer}/account/return`] },
    ...directory.services.map(({ name }) => ({
      client_id: name, client_secret: readFileSync(join(keysDir, `${name}.secret`), 'utf8').trim(), grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], token_endpoint_auth_method: 'client_secret_basic',
    })),
  ];
}
