/** Stuck, or only busy, or only idle. */
import { describe, expect, it } from "vitest";
import { Control } from "../../worker/control.js";
import { Watchdog } from "../../worker/watchdog.js";

describe("the watchdog", () => {
  const busy = (beat: string) => ({ busy: true, beat });

  it("calls a device stuck only after a native call without a sign of life for the whole time", () => {
    const dog = new Watchdog(3_000);
    expect(dog.check("cpu", busy("1.1"), 0)).toBeNull();
    expect(dog.check("cpu", busy("1.1"), 1_000)).toBeNull();
    expect(dog.check("cpu", busy("1.1"), 2_999)).toBeNull();
    expect(dog.check("cpu", busy("1.1"), 3_000)).toBe(3_000);
    expect(dog.check("cpu", busy("1.2"), 3_001)).toBeNull();
    expect(dog.check("cpu", busy("1.2"), 6_000)).toBeNull();
    expect(dog.check("cpu", busy("1.2"), 6_001)).toBe(3_000);
  });

  it("does not take a process that was stopped for an hour for a stuck thread", () => {
    const dog = new Watchdog(60_000);
    dog.check("cpu", busy("1.1"), 0);
    expect(dog.check("cpu", busy("1.1"), 3_600_000)).toBeNull();
    // What is left of the minute, once it runs again.
    const rest = Array.from({ length: 55 }, (_, second) => dog.check("cpu", busy("1.1"), 3_601_000 + second * 1_000));
    expect(rest.slice(0, -1).every((silent) => silent === null)).toBe(true);
    expect(rest.at(-1)).toBe(60_000);
  });

  it("never calls an idle device stuck, nor one that was idle in between", () => {
    const dog = new Watchdog(100);
    expect(dog.check("cpu", { busy: false, beat: "1.1" }, 0)).toBeNull();
    expect(dog.check("cpu", { busy: false, beat: "1.1" }, 1_000)).toBeNull();
    expect(dog.check("cpu", { busy: true, beat: "1.1" }, 2_000)).toBeNull();
    expect(dog.check("cpu", { busy: false, beat: "1.1" }, 2_050)).toBeNull();
    expect(dog.check("cpu", { busy: true, beat: "1.1" }, 2_110)).toBeNull();
    expect(dog.check("cpu", { busy: true, beat: "1.1" }, 2_209)).toBeNull();
    expect(dog.check("cpu", { busy: true, beat: "1.1" }, 2_210)).toBe(100);
  });
});

describe("the control block", () => {
  it("is one memory from both sides", () => {
    const main = new Control();
    const thread = new Control(main.buffer);
    const engine = thread.engineCells();
    main.interrupt();
    expect(engine[0]).toBe(1);
    thread.setBusy(true);
    const before = main.pulse();
    Atomics.add(engine, 1, 1);
    const after = main.pulse();
    expect(after.busy).toBe(true);
    expect(after.beat).not.toBe(before.beat);
    thread.listen();
    expect(main.interrupted()).toBe(false);
    expect(main.pulse().beat).not.toBe(after.beat);
    expect(engine).toHaveLength(2);
  });
});
