/** The curves of curves.mjs as an SVG: training loss by step, each step's and smoothed, of the engine and of PyTorch, once or twice. */

const [WIDTH, HEIGHT] = [640, 320];
const EDGE = { left: 48, right: 12, top: 30, bottom: 34 };

/** `result` as curves.mjs writes it; `smooth` makes a list of means, the first of which belongs to step `smoothed_over`. */
export function drawCurves(result, smooth) {
  const { steps, smoothed_over: width, network, dataset, batch_size } = result;
  const runs = [
    { name: `PyTorch ${result.pytorch.version}`, colour: "#d95f02", losses: result.pytorch.channels_first.losses },
    { name: "PyTorch, channels last", colour: "#7570b3", losses: result.pytorch.channels_last?.losses },
    { name: "convsweep", colour: "#1b9e77", losses: result.engine.losses },
  ].filter(({ losses }) => losses !== undefined);
  const most = Math.max(...runs.flatMap(({ losses }) => losses));
  const least = Math.min(...runs.flatMap(({ losses }) => losses));
  const x = (step) => EDGE.left + ((step - 1) / Math.max(1, steps - 1)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (loss) => EDGE.top + ((most - loss) / (most - least)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const path = (losses, first) =>
    losses.map((loss, at) => `${at === 0 ? "M" : "L"}${x(first + at).toFixed(1)} ${y(loss).toFixed(1)}`).join("");
  const text = (at, height, words, more = "") => `<text x="${at}" y="${height.toFixed(1)}"${more}>${words}</text>`;

  const grid = Array.from({ length: 5 }, (_, i) => least + ((most - least) * i) / 4).flatMap((loss) => [
    `<path d="M${EDGE.left} ${y(loss).toFixed(1)}H${WIDTH - EDGE.right}" stroke="#ddd"/>`,
    text(EDGE.left - 6, y(loss) + 4, loss.toFixed(2), ' text-anchor="end"'),
  ]);
  const ticks = [1, Math.round(steps / 2), steps].map((step) =>
    text(x(step).toFixed(1), HEIGHT - EDGE.bottom + 16, step, ' text-anchor="middle"'),
  );
  const lines = runs.flatMap(({ colour, losses }) => [
    `<path d="${path(losses, 1)}" fill="none" stroke="${colour}" opacity="0.3"/>`,
    `<path d="${path(smooth(losses), width)}" fill="none" stroke="${colour}" stroke-width="2"/>`,
  ]);
  const legend = runs.map(({ name, colour }, at) =>
    text(WIDTH - EDGE.right - 6, EDGE.top + 16 + 16 * at, name, ` fill="${colour}" text-anchor="end"`),
  );
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(
      EDGE.left,
      18,
      `${network} on ${dataset}: training loss by step of ${batch_size} images, thick: mean of ${width} steps`,
    ),
    ...grid,
    ...ticks,
    ...lines,
    ...legend,
    "</svg>",
  ].join("\n")}\n`;
}
