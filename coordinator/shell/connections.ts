/**
 * Connections at the gRPC port, from their first byte to their first accepted call.
 *
 * Guarantees: a connection on which nothing is said within ten seconds (with TLS: whose handshake has not ended by then),
 * and one without an accepted call within fifteen, is closed; of those there are at most 64 from one address (1,024 from
 * this machine) and 1,024 in all, and at most 4,096 connections altogether; more are refused at once. A stranger can
 * therefore not keep workers out for long: whoever has been let in does not count against the first two. Not here: TLS
 * (grpc-listener.ts), who is let in (authorize.ts).
 */
import type { Socket } from "node:net";
import { millis } from "../../proto/contract.js";
import { isLoopback } from "../../proto/tls.js";
import type { Clock } from "./clock.js";

export interface ConnectionLimits {
  readonly total: number;
  /** Without an accepted call: in all, from one address, from this machine. */
  readonly strangers: number;
  readonly strangersAnAddress: number;
  readonly strangersHere: number;
  readonly handshakeMillis: number;
  readonly firstCallMillis: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  total: 4_096,
  strangers: 1_024,
  strangersAnAddress: 64,
  strangersHere: 1_024,
  handshakeMillis: 10_000,
  firstCallMillis: 15_000,
};

/** What a client showed of itself, signed by the authority. */
export interface ShownCertificate {
  readonly serial: string;
  /** Its organisational unit. */
  readonly unit: string;
}

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  certificate: ShownCertificate | null;
  /** Began to speak, or ended its handshake. */
  greeted: boolean;
  /** Had a call accepted. */
  known: boolean;
}

export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #clock: Clock;
  /** By `ADDRESS:PORT` of the peer, as the gRPC library names it. */
  readonly #open = new Map<string, Connection>();
  readonly #strangers = new Map<string, number>();
  #strangersInAll = 0;
  #refused = 0;

  constructor(clock: Clock, limits: Partial<ConnectionLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...CONNECTION_LIMITS, ...limits };
  }

  get size(): number {
    return this.#open.size;
  }

  /** Connections closed for a limit or a deadline. */
  get refused(): number {
    return this.#refused;
  }

  /** False: there are too many, and it has been closed. `greets`: its first bytes are a greeting (plaintext). */
  accept(socket: Socket, greets: boolean): boolean {
    const address = plainAddress(socket.remoteAddress ?? "");
    const key = `${socket.remoteAddress}:${socket.remotePort}`;
    const here = this.#strangers.get(address) ?? 0;
    const most = isLoopback(address) ? this.#limits.strangersHere : this.#limits.strangersAnAddress;
    if (here >= most || this.#strangersInAll >= this.#limits.strangers || this.#open.size >= this.#limits.total) {
      this.#drop(socket);
      return false;
    }
    const connection: Connection = { socket, address, certificate: null, greeted: false, known: false };
    this.#open.set(key, connection);
    this.#count(address, 1);
    const now = this.#clock.now();
    const cancels = [
      this.#clock.schedule(millis(now + this.#limits.handshakeMillis), () => {
        if (!connection.greeted && !(greets && socket.bytesRead > 0)) this.#drop(socket);
      }),
      this.#clock.schedule(millis(now + this.#limits.firstCallMillis), () => {
        if (!connection.known) this.#drop(socket);
      }),
    ];
    socket.once("close", () => {
      for (const cancel of cancels) cancel();
      if (!connection.known) this.#count(address, -1);
      if (this.#open.get(key) === connection) this.#open.delete(key);
    });
    return true;
  }

  /** The handshake of `socket` has ended. */
  greeted(socket: Socket, certificate: ShownCertificate | null): void {
    const connection = this.#open.get(`${socket.remoteAddress}:${socket.remotePort}`);
    if (connection === undefined) return;
    connection.greeted = true;
    connection.certificate = certificate;
  }

  certificateOf(peer: string): ShownCertificate | null {
    return this.#open.get(peer)?.certificate ?? null;
  }

  /** A call of `peer` was accepted. */
  known(peer: string): void {
    const connection = this.#open.get(peer);
    if (connection === undefined || connection.known) return;
    connection.known = true;
    this.#count(connection.address, -1);
  }

  destroyAll(): void {
    for (const { socket } of this.#open.values()) socket.destroy();
  }

  #drop(socket: Socket): void {
    this.#refused += 1;
    socket.destroy();
  }

  #count(address: string, change: number): void {
    this.#strangersInAll += change;
    const now = (this.#strangers.get(address) ?? 0) + change;
    if (now > 0) this.#strangers.set(address, now);
    else this.#strangers.delete(address);
  }
}

/** An IPv4 address as such, also where the socket is IPv6's. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=[0-9.]+$)/, "");

/** The address of a peer `ADDRESS:PORT`. */
export const addressOfPeer = (peer: string): string => plainAddress(peer.slice(0, peer.lastIndexOf(":")));
