// Over https, cookies are of this host alone, never go over plain http, and no script reads them.
import assert from 'node:assert/strict';
import { approve, back, logIn, open } from './user.mjs';

export default async function ({ site, client, browser }) {
  const page = await browser.open();
  const ours = async () => (await page.context().cookies(site));
  await open(page, client);
  assert.equal(await page.evaluate(() => document.cookie), '');
  await approve(page);
  const cookies = await ours();
  assert.equal(cookies.length, 2, 'one for the browser, one for this login');
  for (const cookie of cookies) {
    assert.match(cookie.name, /^__Host-/);
    const { secure, httpOnly, sameSite, path } = cookie;
    assert.deepEqual({ secure, httpOnly, sameSite, path }, { secure: true, httpOnly: true, sameSite: 'Lax', path: '/' });
    assert.equal(cookie.domain, new URL(site).hostname);
  }
  await logIn(page, 'alice');
  await back(page, client);
  assert.equal(await client.user(), 'alice');
  assert.equal((await ours()).length, 1, 'the login is over');
  assert.deepEqual(page.context().complaints, []);
}
