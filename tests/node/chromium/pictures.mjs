// What users see, as pictures, each as high as its page is.
import path from 'node:path';
import { pages } from './pages.mjs';

const windows = {
  desktop: { viewport: { width: 640, height: 100 }, colorScheme: 'light' },
  phone: { viewport: { width: 390, height: 100 }, colorScheme: 'dark' },
};

export default async function ({ site, client, browser, pictures }) {
  for (const [window, options] of Object.entries(windows)) {
    const page = await browser.open(options);
    for await (const name of pages(page, site, client)) {
      await page.screenshot({ path: path.join(pictures, `${name}-${window}.png`), fullPage: true });
    }
  }
}
