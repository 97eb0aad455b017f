// A page of somebody else shows none of ours in a frame: a user cannot be made to click on what they do not see.
import assert from 'node:assert/strict';
import { stranger } from './stranger.mjs';

export default async function ({ site, client, browser }) {
  const refused = `${site}/authorize?client_id=nobody`;
  for (const url of [client.authorization(), refused]) {
    const evil = await stranger((frame) => `<iframe src="${frame}"></iframe>`.replace('&', '&amp;'), url);
    const page = await browser.open();
    const messages = [];
    page.on('console', (message) => messages.push(message.text()));
    await page.goto(evil.url);
    await page.waitForTimeout(300);
    const [, frame] = page.frames();
    assert.match(frame.url(), /^chrome-error:/);
    assert.equal(await frame.locator('button').count(), 0);
    assert.ok(messages.some((text) => /frame-ancestors|X-Frame-Options/i.test(text)), messages.join('\n'));
    evil.close();
  }
}
