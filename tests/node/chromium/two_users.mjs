// Two users in two browsers, one client: each is asked. What one of them carries logs the other one in nowhere.
import assert from 'node:assert/strict';
import { approve, back, open, signIn, whole } from './user.mjs';

export default async function ({ site, client, browser }) {
  const [alice, bob] = [await browser.open(), await browser.open()];
  await whole(alice, client, 'alice');
  assert.equal(await client.user(), 'alice');
  // It is asked of Bob too, and who is at the provider in his browser is his own business.
  await whole(bob, client, 'bob');
  assert.equal(await client.user(), 'bob');

  // An attacker stops on the way back, and has another user continue.
  const attacker = await browser.open();
  await open(attacker, client);
  await approve(attacker);
  await signIn(attacker, 'mallory');
  const send = attacker.context().request;
  const action = await attacker.locator('form').evaluate((form) => form.action);
  const agreed = await send.post(action, { form: { prompt: 'consent' }, maxRedirects: 0 });
  const onward = await send.get(new URL(agreed.headers().location, action).href, { maxRedirects: 0 });
  const stolen = onward.headers().location;
  assert.ok(stolen.startsWith(`${site}/callback?`));
  for (const victim of [alice, await browser.open()]) {
    const response = await victim.goto(stolen);
    assert.equal(response.status(), 400);
    assert.equal(client.answers.length, 0);
  }
  // It did not spoil it either: who began it ends it.
  await attacker.goto(stolen);
  await back(attacker, client);
  assert.equal(await client.user(), 'mallory');
}
