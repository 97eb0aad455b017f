// Puts a bearer token into every request: for clients that cannot be given one. Host and Origin stay, bodies stream.
//
// Arguments: the upstream's port. Environment: TOKEN. Standard output: `READY <url>`.
import http from 'node:http';

const upstream = Number(process.argv[2]);
const authorization = `Bearer ${process.env.TOKEN}`;

const server = http.createServer((req, res) => {
  const headers = { ...req.headers, authorization };
  const onward = http.request({ host: '127.0.0.1', port: upstream, path: req.url, method: req.method, headers, setHost: false }, (response) => {
    res.writeHead(response.statusCode, response.headers);
    response.pipe(res);
  });
  onward.on('error', (error) => { res.writeHead(502); res.end(String(error)); });
  res.on('close', () => onward.destroy());
  req.pipe(onward);
});
server.listen(0, '127.0.0.1', () => console.log('READY', `http://127.0.0.1:${server.address().port}`));
