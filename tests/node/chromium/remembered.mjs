// A client with a site is remembered: the same user in the same browser is asked once. Another user there, or another browser, is asked.
import assert from 'node:assert/strict';
import { approve, back, logIn, open, whole } from './user.mjs';

export default async function ({ site, client, browser }) {
  client.redirectUri = client.website;
  const page = await browser.open();
  await whole(page, client, 'alice');
  assert.equal(await client.user(), 'alice');

  // From here straight on to the provider, which asks for itself.
  const asked = async () => (await page.locator('button[value=approve]').count()) > 0;
  await page.goto(client.authorization());
  assert.equal(await asked(), false);
  await page.click('button[type=submit]');
  await back(page, client);
  assert.equal(await client.user(), 'alice');

  // Bob sits down at her machine. It was not him who said yes.
  await page.context().clearCookies({ domain: 'localhost' });
  await page.goto(client.authorization());
  assert.equal(await asked(), false);
  await logIn(page, 'bob');
  await page.waitForURL(`${site}/authorize?*`);
  assert.equal(await asked(), true);
  assert.equal(client.answers.length, 0);
  await approve(page);
  await page.click('button[type=submit]');
  await back(page, client);
  assert.equal(await client.user(), 'bob');

  // In a browser of his own he is asked as well.
  await open(await browser.open(), client);
  assert.deepEqual(page.context().complaints, []);
}
