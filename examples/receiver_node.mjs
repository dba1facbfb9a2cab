// A webhook receiver in Node, without a dependency: verifies as ModelRiver's documentation does, then calls back.
//
//   MODELRIVER_WEBHOOK_SECRET=whsec_… MODELRIVER_API_KEY=secret PORT=3000 node examples/receiver_node.mjs
//   curl localhost:8000/console/webhook -H 'Authorization: Bearer secret' \
//        -d '{"url": "http://localhost:3000/webhooks/ai"}'          # answers the secret, once
//
// The signature is over JSON.stringify(body); riverflow writes its bodies so that these are the very bytes it sent.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const { MODELRIVER_WEBHOOK_SECRET: secret, MODELRIVER_API_KEY: key, PORT = '3000' } = process.env;

function verify(payload, signature = '') {
  const expected = Buffer.from(createHmac('sha256', secret).update(JSON.stringify(payload)).digest('hex'));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function callBack(url, body) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  console.log('callback', answer.status);
}

async function enrich({ event, ai_response, callback_url }) {
  try {
    const started = Date.now();
    const data = { ...ai_response.data, id: 'mov_123', streaming: { netflix: true, prime: false } };
    const metadata = { processing_time_ms: Date.now() - started, sources_checked: 3 };
    await callBack(callback_url, { data, task_id: `movie_${data.id}`, metadata });
  } catch (error) {
    await callBack(callback_url, { error: 'processing_failed', message: `${event}: ${error.message}` });
  }
}

const server = createServer(async (request, response) => {
  const reply = (status, body) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  };
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let payload;
  try {
    payload = JSON.parse(Buffer.concat(chunks));
  } catch {
    return reply(400, { error: 'Invalid JSON' });
  }
  if (!verify(payload, request.headers['mr-signature'])) return reply(401, { error: 'Invalid signature' });
  reply(200, { received: true }); // acknowledge first, work afterwards
  if (payload.callback_required) await enrich(payload);
});

server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/webhooks/ai`));
