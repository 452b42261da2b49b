/** Colours and font of the style sheet, for canvases, which cannot read them by themselves. */

export interface Ink {
  readonly text: string;
  readonly faint: string;
  readonly grid: string;
  readonly bad: string;
  readonly accent: string;
  readonly ground: string;
  readonly font: string;
}

export function ink(): Ink {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"),
    faint: read("--faint"),
    grid: read("--grid"),
    bad: read("--bad"),
    accent: read("--accent"),
    ground: read("--panel"),
    font: `11px ${read("--sans")}`,
  };
}
