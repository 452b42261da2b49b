/**
 * Somebody on the network who knows every address of the page and has no credentials: asks for each, also for a WebSocket,
 * believing any certificate. `node stranger.mjs ORIGIN '[["GET", "/"], …]'` prints the statuses as one JSON list.
 */
import { request } from "node:https";

const [, , origin = "", asked = "[]"] = process.argv;

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": Buffer.alloc(16).toString("base64"),
};

function statusOf(method, path, headers) {
  return new Promise((resolve) => {
    const call = request(origin + path, { method, headers, rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
    call.on("error", (error) => resolve(error.code));
    call.end();
  });
}

const statuses = [];
for (const [method, path] of JSON.parse(asked)) {
  const forged = { origin, "content-type": "application/json", "x-csrf": "x", cookie: "__Host-convsweep-7441=x" };
  statuses.push(
    method === "WEBSOCKET" ? await statusOf("GET", path, { ...UPGRADE, origin }) : await statusOf(method, path, forged),
  );
}
process.stdout.write(`${JSON.stringify({ statuses })}\n`);
