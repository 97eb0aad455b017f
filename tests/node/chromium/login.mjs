// A user logs in, with scripts and without, and no page breaks a rule that it has set itself. Reloading and going back do no harm.
import assert from 'node:assert/strict';
import { approve, back, logIn, open, whole } from './user.mjs';

export default async function ({ site, client, browser }) {
  for (const javaScriptEnabled of [true, false]) {
    const page = await browser.open({ javaScriptEnabled });
    await whole(page, client, 'alice');
    assert.equal(await client.user(), 'alice');
    assert.deepEqual(page.context().complaints, []);
  }

  const page = await browser.open();
  await open(page, client);
  await page.reload();
  await approve(page);
  // To the consent page, or past the page between: wherever back leads, there is a way forward.
  await page.goBack();
  if (await page.locator('button[value=approve]').count()) await approve(page);
  else await page.waitForURL('**/interaction/**');
  await logIn(page, 'alice');
  await back(page, client);
  assert.equal(await client.user(), 'alice');

  // The answer of the provider is used up: a second visit is told so, and no user is logged in.
  await open(page, client);
  await approve(page);
  const callbacks = [];
  page.on('request', (request) => { if (request.url().startsWith(`${site}/callback?`)) callbacks.push(request.url()); });
  // They are known there now.
  await page.click('button[type=submit]');
  await back(page, client);
  assert.equal(await client.user(), 'alice');
  assert.equal(callbacks.length, 1);
  assert.equal((await page.goto(callbacks[0])).status(), 400);
  assert.equal(client.answers.length, 0);
  assert.deepEqual(page.context().complaints.filter((text) => !text.includes('status of 400')), []);
}
