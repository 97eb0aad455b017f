// A form on another site cannot consent for a user, whatever it sends and however close its origin is.
import assert from 'node:assert/strict';
import { open } from './user.mjs';
import { otherSite } from './other_site.mjs';

const form = ({ action, request }) => `<form method="post" action="${action}"><input name="request" value="${request}">
  <input name="decision" value="approve"><button>Prize</button></form>`;

export default async function ({ site, client, browser }) {
  // The request of the attacker, and the page of the user.
  const attacker = await browser.open();
  await open(attacker, client);
  const page = await browser.open();
  await open(page, client);
  const sealed = (page) => page.locator('input[name=request]').inputValue();

  for (const request of [await sealed(attacker), await sealed(page), 'nonsense']) {
    for (const host of ['localhost', '127.0.0.1']) {
      const evil = await otherSite(form, { action: `${site}/consent`, request }, host);
      const victim = await page.context().newPage();
      const elsewhere = [];
      victim.on('request', (request) => { if (!request.url().startsWith(site) && !request.url().startsWith(evil.url)) elsewhere.push(request.url()); });
      await victim.goto(evil.url);
      const [response] = await Promise.all([victim.waitForResponse(`${site}/consent`), victim.click('button')]);
      assert.equal(response.status(), 403);
      assert.equal(await victim.locator('button').count(), 0);
      assert.deepEqual(elsewhere, []);
      evil.close();
      await victim.close();
    }
  }

  // In another browser the form is not accepted, although it comes from a page of ours.
  await page.evaluate((request) => { document.querySelector('input[name=request]').value = request; }, await sealed(attacker));
  const [response] = await Promise.all([page.waitForResponse(`${site}/consent`), page.click('button[value=approve]')]);
  assert.equal(response.status(), 400);
}
