// A page of another site shows none of ours in a frame: a user cannot be made to click on what they do not see.
import assert from 'node:assert/strict';
import { otherSite } from './other_site.mjs';

export default async function ({ site, client, browser }) {
  async function framed(url) {
    const evil = await otherSite((url) => `<iframe src="${url.replaceAll('&', '&amp;')}"></iframe>`, url);
    const page = await browser.open();
    const messages = [];
    page.on('console', (message) => messages.push(message.text()));
    // The frame is there, or refused, when the page is.
    await page.goto(evil.url, { waitUntil: 'load' });
    evil.close();
    return { frame: page.frames()[1], messages };
  }

  // A page that does not mind.
  const { frame } = await framed(client.redirectUri);
  assert.equal(await frame.locator('h1').textContent(), 'Back at the client');

  for (const url of [client.authorization(), `${site}/authorize?client_id=unknown`]) {
    const { frame, messages } = await framed(url);
    await frame.waitForURL(/^chrome-error:/);
    assert.equal(await frame.locator('main').count(), 0);
    assert.ok(messages.some((text) => /frame-ancestors|X-Frame-Options/i.test(text)), messages.join('\n'));
  }
}
