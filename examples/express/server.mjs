// An ordinary Express app. It knows nothing of payments: the gate stands before it.
// Run it with: node server.mjs
import express from "express";

const app = express();

app.get("/", (request, response) => {
  response.json({ free: true, paid: "/weather" });
});

app.get("/weather", (request, response) => {
  // Only the gate can send this header: it removes what a client sends under the same name.
  response.json({ weather: "sunny", payer: request.get("X-Faregate-Payer") });
});

// Loopback only: whoever reaches the app around the gate pays nothing.
app.listen(3000, "127.0.0.1", () => console.log("app on http://127.0.0.1:3000"));
