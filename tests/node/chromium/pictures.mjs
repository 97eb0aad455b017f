// What users see, as pictures.
import path from 'node:path';
import { shown } from './shown.mjs';

const windows = {
  desktop: { viewport: { width: 800, height: 760 }, colorScheme: 'light' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
};

export default async function ({ site, client, browser, pictures }) {
  for (const [window, options] of Object.entries(windows)) {
    const page = await browser.open(options);
    for await (const name of shown(page, site, client)) {
      await page.screenshot({ path: path.join(pictures, `${name}-${window}.png`), fullPage: true });
    }
  }
}
