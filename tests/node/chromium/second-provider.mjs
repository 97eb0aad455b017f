// A user logs in on the pages of Glewlwyd, which are made of scripts.
import assert from 'node:assert/strict';
import { back, open } from './user.mjs';

export default async function ({ client, browser, password }) {
  const page = await browser.open();
  await open(page, client);
  await page.click('button[value=approve]');
  await page.fill('#username', 'alice');
  await page.fill('#password', password);
  await page.click('#loginbut');
  await page.click('button[title="Continue to client application"]');
  await back(page, client);
  // What it calls Alice is for us alone.
  assert.match(await client.user(), /^\S{8,}$/);
  assert.deepEqual(page.context().complaints, []);
}
