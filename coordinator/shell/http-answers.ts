/**
 * How HTTP answers are written: texts, JSON, files, errors.
 *
 * Guarantees: errors are JSON without stacks or paths of this machine; nothing but hashed files may be kept by a browser.
 * Not here: security headers (http-guard.ts), what is answered (http-routes.ts).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ConvsweepError, type ErrorCode, toConvsweepError } from "../../proto/contract.js";
import type { KeptArtifact } from "../store/store.js";
import type { ArtifactFiles } from "./artifacts.js";
import type { StaticFile } from "./static-files.js";

export function sendText(response: ServerResponse, status: number, text: string): void {
  send(response, status, "text/plain; charset=utf-8", Buffer.from(text));
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, status, "application/json; charset=utf-8", Buffer.from(JSON.stringify(value)));
}

export function sendFile(request: IncomingMessage, response: ServerResponse, file: StaticFile): void {
  response.setHeader("Cache-Control", file.cacheControl);
  response.setHeader("ETag", file.etag);
  response.setHeader("Vary", "Accept-Encoding");
  if (request.headers["if-none-match"] === file.etag) {
    response.writeHead(304).end();
    return;
  }
  const zipped = file.gzipped !== null && /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
  if (zipped) response.setHeader("Content-Encoding", "gzip");
  send(response, 200, file.type, zipped && file.gzipped !== null ? file.gzipped : file.body);
}

/** Never as anything that the browser would run: scripts in it are dead, and only pictures are shown in place. */
export function sendArtifact(
  request: IncomingMessage,
  response: ServerResponse,
  artifact: KeptArtifact,
  files: ArtifactFiles,
): void {
  const { digest, bytes, mediaType, name, epoch } = artifact;
  files.open(digest).then(
    (file) => {
      response.setHeader("Content-Security-Policy", "sandbox; default-src 'none'");
      response.setHeader("Cache-Control", "private, no-cache");
      response.setHeader("ETag", `"${digest}"`);
      const shown = mediaType.startsWith("image/") && mediaType !== "image/svg+xml";
      const fileName = `${name}${epoch > 0 ? `-${epoch}` : ""}.${mediaType.split("/")[1]?.replace("apng", "png")}`;
      response.setHeader("Content-Disposition", `${shown ? "inline" : "attachment"}; filename="${fileName}"`);
      if (request.headers["if-none-match"] === `"${digest}"`) {
        response.writeHead(304).end();
        void file.close();
        return;
      }
      response.writeHead(200, { "Content-Type": mediaType, "Content-Length": bytes });
      if (request.method === "HEAD") {
        response.end();
        void file.close();
        return;
      }
      const stream = file.createReadStream();
      stream.on("error", () => response.destroy());
      response.on("close", () => stream.destroy());
      stream.pipe(response);
    },
    (thrown: unknown) => sendError(response, toConvsweepError(thrown)),
  );
}

export function sendError(response: ServerResponse, error: ConvsweepError): void {
  const known: Partial<Record<ErrorCode, number>> = {
    BAD_INPUT: 400,
    NOT_FOUND: 404,
    TOO_LARGE: 413,
    UNAVAILABLE: 503,
  };
  const status = known[error.code] ?? 500;
  const message = status === 500 ? "something went wrong; the coordinator's log says what" : error.message;
  sendJson(response, status, {
    code: error.code,
    message,
    path: error.path,
    expected: error.expected,
    found: error.found,
  });
}

export function send(response: ServerResponse, status: number, type: string, body: Buffer): void {
  if (!response.hasHeader("Cache-Control")) response.setHeader("Cache-Control", "no-store");
  // For HEAD, node:http leaves the body out and keeps its length.
  response.writeHead(status, { "Content-Type": type, "Content-Length": body.length }).end(body);
}
