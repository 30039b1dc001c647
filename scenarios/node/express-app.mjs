// An Express application that knows nothing of payments: `node express-app.mjs PORT`. GET /report
// answers how often it ran, GET /served tells it. Prints "ready".
import express from 'express';

let served = 0;
const app = express();
app.get('/report', (request, response) => {
  served += 1;
  response.json({ framework: 'express', served });
});
app.get('/served', (request, response) => response.json({ served }));
app.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
