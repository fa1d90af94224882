// An agent as its author writes it: the OpenAI SDK, one tool, and not a word about who looks on.
//
//   node agent.mjs FOLDER STEP...
//
// The steps are those of agent.py, without "large". In "stream" the SDK's own helper puts the pieces together.
//
// One JSON line on standard output says what each step gave. All that is added for the tests is `keep`, a fetch that
// copies the bytes of each response into FOLDER as they come from the connection, before the SDK has seen them.

import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import OpenAI from 'openai';

const [folder, ...steps] = process.argv.slice(2);
const orders = { 'A-17': '42 EUR' };
const tools = [
  {
    type: 'function',
    function: {
      name: 'lookup_order',
      description: 'What an order costs.',
      parameters: {
        type: 'object',
        properties: { order_id: { type: 'string' }, note: { type: 'string' } },
        required: ['order_id'],
      },
    },
  },
];

const kept = [];

async function keep(url, init) {
  const response = await fetch(url, init);
  const name = path.join(folder, String(readdirSync(folder).filter((n) => n.endsWith('.head.json')).length).padStart(3, '0'));
  writeFileSync(`${name}.head.json`, JSON.stringify({ status: response.status, headers: Object.fromEntries(response.headers) }));
  const [mine, theirs] = response.body.tee();
  kept.push(new Response(mine).arrayBuffer().then((bytes) => writeFileSync(`${name}.body`, Buffer.from(bytes))));
  return new Response(theirs, response);
}

const client = new OpenAI({ fetch: keep });

async function say(messages, streamed) {
  const request = { model: 'sim-1', messages, tools };
  const answer = streamed
    ? await client.chat.completions.stream(request).finalChatCompletion()
    : await client.chat.completions.create(request);
  return answer.choices[0].message;
}

async function loop(streamed) {
  const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'What does order A-17 cost?' }];
  const asked = [];
  for (;;) {
    const message = await say(messages, streamed);
    if (!message.tool_calls?.length) return { text: message.content, tools: asked };
    messages.push(message);
    for (const call of message.tool_calls) {
      const given = JSON.parse(call.function.arguments);
      asked.push(given);
      messages.push({ role: 'tool', tool_call_id: call.id, content: orders[given.order_id] ?? 'no such order' });
    }
  }
}

async function once() {
  try {
    const answer = await client.chat.completions.create({ model: 'sim-1', messages: [{ role: 'user', content: 'Hello?' }] });
    return { text: answer.choices[0].message.content };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    return { status: error.status ?? null, code: error.code, message: error.message };
  }
}

for (const step of steps) {
  if (step === 'whole' || step === 'stream') console.log(JSON.stringify(await loop(step === 'stream')));
  else if (step === 'once') console.log(JSON.stringify(await once()));
  else if (step === 'wait') {
    writeFileSync(path.join(folder, 'ready'), '');
    await new Promise((resolve) => { setTimeout(resolve, 60_000); });
  } else if (step === 'kill') process.kill(process.pid, 'SIGKILL');
  else process.exitCode = Number(step.replace('exit=', ''));
  await Promise.all(kept);
}
