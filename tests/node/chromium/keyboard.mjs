// A user without a mouse: everything can be reached, where it is can be seen, and Enter goes on.
import assert from 'node:assert/strict';
import { back, open } from './user.mjs';

export default async function ({ client, browser }) {
  const page = await browser.open();
  await open(page, client);
  const focused = () => page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return { value: document.activeElement.value, outline: `${outlineStyle} ${outlineWidth}` };
  });
  // The provider's pages focus an element by themselves, a moment after they are there; keys before that go nowhere.
  const focusable = () => page.waitForFunction(() => ![null, document.body].includes(document.activeElement));
  await page.keyboard.press('Tab');
  assert.deepEqual(await focused(), { value: 'approve', outline: 'solid 3px' });
  await page.keyboard.press('Tab');
  assert.deepEqual(await focused(), { value: 'deny', outline: 'solid 3px' });
  await page.keyboard.press('Shift+Tab');
  // The pointer comes to the page: its clicks do not count for a moment, and the keyboard stays where it is.
  await page.mouse.move(100, 100);
  assert.deepEqual(await focused(), { value: 'approve', outline: 'solid 3px' });
  await page.keyboard.press('Enter');
  await page.waitForURL('**/interaction/**');
  await focusable();
  await page.keyboard.type('alice');
  await page.keyboard.press('Tab');
  await page.keyboard.type('any');
  await page.keyboard.press('Enter');
  await page.locator('input[name=prompt][value=consent]').waitFor({ state: 'attached' });
  await focusable();
  await page.keyboard.press('Enter');
  await back(page, client);
  assert.equal(await client.user(), 'alice');

  await open(page, client);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await back(page, client);
  assert.equal(client.answers.pop().get('error'), 'access_denied');
}
