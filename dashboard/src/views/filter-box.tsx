/**
 * The filter of the leaderboard: a field, what is wrong with its text in words, and `/` from anywhere to get there.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Page } from "../page.js";

export function FilterBox({ page, onLeave }: { readonly page: Page; onLeave(): void }) {
  const input = useRef<HTMLInputElement>(null);
  const focused = useSignal(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement) return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  const problem = page.filter.value.problem;
  // What people type is what they see: a parameter of this sweep.
  const name = page.sweep.value?.parameters.find((parameter) => parameter.scale !== "category")?.name ?? "epoch";
  const example = `${name}>0.001`;
  return (
    <div class="filter">
      <input
        ref={input}
        type="text"
        spellcheck={false}
        autocomplete="off"
        placeholder={`Filter: ${example}`}
        aria-label="Filter trials"
        aria-invalid={problem !== null}
        aria-describedby="filter-help"
        value={page.filterText.value}
        onInput={(event) => (page.filterText.value = event.currentTarget.value)}
        onFocus={() => (focused.value = true)}
        onBlur={() => (focused.value = false)}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            if (page.filterText.value !== "") page.filterText.value = "";
            else onLeave();
          } else if (event.key === "Enter" || event.key === "ArrowDown") {
            event.preventDefault();
            onLeave();
          }
        }}
      />
      <kbd title="Key to get here">/</kbd>
      <p
        id="filter-help"
        class={`filter-help ${problem !== null ? "bad" : focused.value ? "" : "hidden"}`}
        role={problem ? "alert" : undefined}
      >
        {problem ?? (
          <>
            <code>state:failed</code> <code>{example}</code> <code>{name}:1e-5..1e-3</code>{" "}
            <code>best&gt;0.9 or epoch&lt;3</code> <code>-worker:name</code>
          </>
        )}
      </p>
    </div>
  );
}
