/**
 * A text that must not be shown: a token, a private key.
 *
 * Guarantees: printing, logging, joining or serialising it in any way gives `***`; only `expose` gives the text, so that a
 * search for that word finds every place where one leaves. Imports nothing. Not here: where secrets come from.
 */

const HIDDEN = "***";

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself. Never for a message, a log or an argument of a program. */
  expose(): string {
    return this.#text;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  get [Symbol.toStringTag](): string {
    return "Secret";
  }

  /** What `util.inspect`, and so every log of Node's, shows. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return HIDDEN;
  }
}
