import { strict as assert } from 'node:assert';
import { FakeQuickwit, freePort, Gate, WebhookReceiver, waitFor } from '@nest-baton/testing';

async function main(): Promise<void> {
  const [sink, receiver] = await Promise.all([FakeQuickwit.start(), WebhookReceiver.start()]);
  const answer = await fetch(`${sink.url}/api/v1/logs/ingest`, { method: 'POST', body: '{"id":"one"}\n' });
  assert.equal(answer.status, 200);
  assert.equal(sink.documents('logs').length, 1);
  await fetch(receiver.url, { method: 'POST', body: '{}' });
  await waitFor(() => receiver.requests.length === 1, { description: 'the request' });
  assert.ok((await freePort()) > 0);
  assert.equal(typeof Gate, 'function');
  await Promise.all([sink.stop(), receiver.stop()]);
}

void main().then(() => console.log('done'));
