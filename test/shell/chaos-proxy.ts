/**
 * A TCP proxy that misbehaves on demand: what a network does to a stream, one way or both.
 *
 * `hold` keeps bytes of a direction back, as a one-way black hole does to a connection that stays open; `reset` ends every
 * connection with RST; `cutAfter` ends one after so many bytes towards the client; `delay` lets every piece wait. TCP
 * neither reorders nor repeats what it delivers, so neither does this. Everything ends with the test.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export type Direction = "up" | "down";

export class ChaosProxy {
  readonly address: string;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #held = new Set<Direction>();
  /** Bytes that may still go down; `null` for any number. */
  #left: number | null = null;
  #delay = 0;

  private constructor(address: string) {
    this.address = address;
  }

  static async to(target: string): Promise<ChaosProxy> {
    const [host = "", port = ""] = target.split(":");
    const server = createServer({ pauseOnConnect: false });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    const proxy = new ChaosProxy(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on("connection", (client) => proxy.#join(client, connect(Number(port), host)));
    onTestFinished(() => {
      proxy.reset();
      server.close();
    });
    return proxy;
  }

  /** Nothing more goes that way; what was held is lost with the connection. */
  hold(direction: Direction): void {
    this.#held.add(direction);
  }

  heal(): void {
    this.#held.clear();
    this.#left = null;
    this.#delay = 0;
  }

  delay(millis: number): void {
    this.#delay = millis;
  }

  cutAfter(bytes: number): void {
    this.#left = bytes;
  }

  reset(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
    this.#pairs.clear();
  }

  #join(client: Socket, server: Socket): void {
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) {
      socket.on("error", end);
      socket.on("close", end);
    }
    client.on("data", (bytes: Buffer) => this.#pass("up", bytes, server));
    server.on("data", (bytes: Buffer) => this.#pass("down", bytes, client));
  }

  #pass(direction: Direction, bytes: Buffer, to: Socket): void {
    if (this.#held.has(direction)) return;
    if (direction === "down" && this.#left !== null) {
      to.write(bytes.subarray(0, this.#left));
      this.#left -= bytes.length;
      if (this.#left <= 0) this.reset();
      return;
    }
    if (this.#delay === 0) to.write(bytes);
    else setTimeout(() => to.writable && to.write(bytes), this.#delay);
  }
}
