// Windows of Chromium, each with a user of its own, and what they complain about.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const { CHROMIUM = execFileSync('sh', ['-c', 'command -v chromium']).toString().trim() } = process.env;

// As root it has no sandbox, and it may call only this test.
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// Listens to complaints about `site`. The `sites` are at these ports, whatever they are called.
export async function launch(site, sites) {
  const rules = ['MAP * ~NOTFOUND', 'EXCLUDE 127.0.0.1', 'EXCLUDE localhost'];
  const terminators = [];
  for (const [url, port] of sites) {
    const { protocol, hostname } = new URL(url);
    if (protocol !== 'https:') continue;
    const tls = await terminate(hostname, port);
    terminators.push(tls);
    rules.unshift(`MAP ${hostname}:443 127.0.0.1:${tls.address().port}`);
  }
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, `--host-resolver-rules=${rules.join(', ')}`] });
  return {
    // A window of a new user.
    async open(options = {}) {
      const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
      context.setDefaultTimeout(30_000);
      context.complaints = [];
      context.on('console', (message) => {
        const isOurs = message.location().url.startsWith(site) || /Content.Security.Policy/i.test(message.text());
        if (isOurs && message.type() === 'error') context.complaints.push(message.text());
      });
      return context.newPage();
    },
    async close() {
      await browser.close();
      for (const tls of terminators) tls.close();
    },
  };
}

// TLS, which something else does in front of a server.
async function terminate(hostname, port) {
  const server = https.createServer(certificate(hostname), (req, res) => {
    const onward = http.request({ host: '127.0.0.1', port, path: req.url, method: req.method, headers: req.headers, setHost: false }, (response) => {
      res.writeHead(response.statusCode, response.headers);
      response.pipe(res);
    });
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

// Unsigned.
function certificate(hostname) {
  const folder = mkdtempSync(path.join(tmpdir(), 'portcullis-tls-'));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name));
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  execFileSync('openssl', [...request, '-subj', `/CN=${hostname}`, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const made = { key: readFileSync(key), cert: readFileSync(cert) };
  rmSync(folder, { recursive: true });
  return made;
}
