// SPDX-License-Identifier: Apache-2.0
// The .proto files and the services say the same, asked by server reflection: services, methods and messages are the contract's, a client
// made from reflection alone can call, and the health service answers.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import reflection from 'grpc-js-reflection-client';

import { SERVICE_OF, asWritten, client, closeClients, definitions, grpc, metadata, rpc } from '../lib/grpc.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { SERVICES, service } from '../lib/stack.mjs';
import { serviceToken } from '../lib/tokens.mjs';
import { within } from '../lib/until.mjs';

after(closeClients);

const { GrpcReflection } = reflection;
const reflect = (name, version) => new GrpcReflection(service(name).grpc, grpc.credentials.createInsecure(), {}, version);
// Reflection wants a good token, of anybody.
const shown = () => metadata(serviceToken('delivery-mock'));
const INFRASTRUCTURE = ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];

// "Name in -> out" of each method, streams marked.
const shapeOf = (path, requestStream, responseStream, input, output) => `${path} ${requestStream ? 'stream ' : ''}${input} -> ${responseStream ? 'stream ' : ''}${output}`;

const protoMethods = (full) =>
  Object.values(definitions[full]).map((method) => shapeOf(method.path.split('/')[2], method.requestStream, method.responseStream, method.requestType.type.name, method.responseType.type.name)).sort();

for (const name of SERVICES) {
  const full = SERVICE_OF[name];

  for (const version of ['v1', 'v1alpha']) {
    test(`${name} lists its services by reflection ${version}`, async () => {
      const services = await reflect(name, version).listServices('*', shown());
      assert.deepEqual(services.toSorted(), [full, ...INFRASTRUCTURE].toSorted());
    });
  }

  test(`${name}: reflection tells nothing to who has no token, or a bad one`, async () => {
    for (const token of [null, 'rubbish']) await assert.rejects(reflect(name, 'v1').listServices('*', metadata(token))); // its code: access.test.mjs
  });

  test(`${name}: reflection tells the methods of the .proto file`, async () => {
    const methods = await reflect(name).listMethods(full, shown());
    const told = methods.map(({ name: short, definition }) => shapeOf(short, definition.requestStream, definition.responseStream, definition.requestType.type.name, definition.responseType.type.name));
    assert.deepEqual(told.sort(), protoMethods(full));
  });

  test(`${name}: reflection tells every field of every message`, async () => {
    const told = (await reflect(name).getDescriptorBySymbol(full, shown())).getPackageObject({ keepCase: true });
    const toldService = full.split('.').reduce((at, part) => at[part], told);
    const fields = ({ type }) => type.field.map((field) => `${field.number} ${field.name} ${field.type} ${field.label} ${field.typeName}`);
    for (const method of Object.values(asWritten[full])) {
      const toldMethod = toldService.service[method.path.split('/')[2]];
      assert.deepEqual(fields(toldMethod.requestType), fields(method.requestType));
      assert.deepEqual(fields(toldMethod.responseType), fields(method.responseType));
    }
  });

  test(`${name}: every method of the .proto file is served`, async () => {
    for (const method of Object.values(definitions[full])) {
      const short = method.path.split('/')[2];
      if (method.responseStream) {
        const stream = client(name)[short]({}, metadata(null), { deadline: Date.now() + 3000 });
        const code = await within(4000, new Promise((resolve) => stream.on('data', () => {}).on('error', () => {}).on('status', (status) => resolve(status.code))));
        assert.equal(code, grpc.status.UNAUTHENTICATED, short);
      } else {
        assert.equal((await rpc(name, short, {}, null)).code, grpc.status.UNAUTHENTICATED, short);
      }
    }
  });

  test(`${name}: a client made from reflection alone can call`, async () => {
    const descriptor = await reflect(name).getDescriptorBySymbol(full, shown());
    const Client = full.split('.').reduce((at, part) => at[part], descriptor.getPackageObject({ longs: Number, enums: String }));
    const made = new Client(service(name).grpc, grpc.credentials.createInsecure());
    const [short, request, answer] = {
      'fruit-catalog': ['GetSkus', { sku_ids: [uuid7()], skuIds: [uuid7()] }, (value) => value.skus ?? []],
      'order-manager': ['ResolveOrders', { order_ids: [uuid7()], orderIds: [uuid7()] }, (value) => value.resolutions.slice(1)],
      'delivery-mock': ['GetDeliveries', { order_ids: [uuid7()], orderIds: [uuid7()] }, (value) => value.deliveries ?? []],
    }[name];
    const value = await new Promise((resolve, reject) => made[short](request, metadata(serviceToken(name === 'order-manager' ? 'fruit-catalog' : 'order-manager')), (error, got) => (error ? reject(error) : resolve(got))));
    assert.deepEqual(answer(value), []);
    made.close();
  });

  for (const asked of ['', full]) {
    test(`${name}: health of "${asked}" is SERVING`, async () => {
      const answer = await rpc(name, 'Check', { service: asked }, null, { full: 'grpc.health.v1.Health' });
      assert.deepEqual([answer.code, answer.value?.status], [grpc.status.OK, 'SERVING'], answer.details);
    });
  }

  test(`${name}: health of an unknown service is NOT_FOUND`, async () => {
    assert.equal((await rpc(name, 'Check', { service: 'nothing.v1.Nothing' }, null, { full: 'grpc.health.v1.Health' })).code, grpc.status.NOT_FOUND);
  });

  test(`${name}: health can be watched`, async () => {
    const stream = client(name, 'grpc.health.v1.Health').Watch({ service: '' }, metadata(null), { deadline: Date.now() + 5000 });
    stream.on('error', () => {});
    const first = await within(3000, new Promise((resolve) => stream.once('data', resolve)), 'the first status');
    stream.cancel();
    assert.equal(first.status, 'SERVING');
  });
}
