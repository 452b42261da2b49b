/**
 * How the shell says what happens: one function, so that the owner (a command line, a test) decides where lines go.
 *
 * Guarantees: fields are plain data. Not here: formatting, files, levels switched on or off. Never give it a secret.
 */

export type LogLevel = "debug" | "info" | "warn" | "error";

export type Log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void;

export const silentLog: Log = () => {};
