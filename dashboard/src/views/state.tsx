/** A state of a sweep, trial or worker: a dot and the word, so that colour alone never carries it. */

export function State({ state, title }: { readonly state: string; readonly title?: string }) {
  return (
    <span class={`state state-${state}`} title={title}>
      <i class="dot" />
      {state}
    </span>
  );
}
