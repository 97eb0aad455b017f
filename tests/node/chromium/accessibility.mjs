// axe-core finds nothing on any page, in light and in dark, on a desk and on a phone. A phone shows the buttons without scrolling.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pages } from './pages.mjs';

const axe = createRequire(import.meta.url).resolve('axe-core');

export default async function ({ site, client, browser }) {
  for (const colorScheme of ['light', 'dark']) {
    for (const viewport of [{ width: 1000, height: 800 }, { width: 390, height: 844 }, { width: 320, height: 640 }]) {
      // It is a script, which our pages do not let in.
      const page = await browser.open({ colorScheme, viewport, bypassCSP: true });
      for await (const name of pages(page, site, client)) {
        await page.addScriptTag({ path: axe });
        const { violations, passes } = await page.evaluate(() => axe.run());
        assert.ok(passes.length > 10);
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], `${name}, ${colorScheme}, ${viewport.width}`);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= viewport.width, `${name} is ${width} wide`);
        if (name !== 'consent' || viewport.width === 320) continue;
        for (const answer of ['approve', 'deny']) {
          const { y, height } = await page.locator(`button[value=${answer}]`).boundingBox();
          assert.ok(y >= 0 && y + height <= viewport.height, `${answer} ends at ${y + height} of ${viewport.height}`);
        }
      }
    }
  }
}
