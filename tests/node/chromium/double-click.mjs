// A click that was meant for a page of another site, which has just vanished from above ours, does not consent.
import assert from 'node:assert/strict';
import { open } from './user.mjs';

export default async function ({ client, browser }) {
  const page = await browser.open();
  const approve = page.locator('button[value=approve]');
  const answers = [];
  page.on('request', (request) => { if (request.method() === 'POST') answers.push(request.url()); });
  const middle = async () => {
    const { x, y, width, height } = await approve.boundingBox();
    return [x + width / 2, y + height / 2];
  };

  // Whenever it comes, its buttons come later.
  await open(page, client);
  const [before, after] = await page.evaluate(() => {
    const choices = document.querySelector('.choices');
    const { visibility } = getComputedStyle(choices);
    choices.style.display = 'none';
    choices.getBoundingClientRect();
    choices.style.display = '';
    return [visibility, getComputedStyle(choices).visibility];
  });
  assert.deepEqual([before, after], ['visible', 'hidden']);

  // It has been there for a while, underneath, and the pointer is suddenly upon it.
  await approve.waitFor();
  await page.waitForTimeout(1000);
  const place = await middle();
  await page.mouse.dblclick(...place);
  await page.waitForTimeout(200);
  assert.deepEqual(answers, []);

  // It accepts the click of a user who stays.
  await page.waitForFunction(() => getComputedStyle(document.querySelector('.choices')).pointerEvents !== 'none');
  await page.mouse.click(...place);
  await page.waitForURL('**/interaction/**');
  assert.equal(answers.length, 1);
}
