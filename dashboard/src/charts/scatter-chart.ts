/**
 * A scatter of trials on a canvas: two axes, a colour a point, crosses for failed trials, rings for those without a
 * value.
 *
 * Guarantees: 100,000 points draw in one pass, worst first so that the best stay visible; the point under the pointer is
 * found by its place on the canvas; highlighting redraws only the upper canvas. Knows nothing of the feed.
 */
import type { Axis } from "./axes.js";
import type { Ink } from "./ink.js";

export interface ScatterPoint {
  readonly id: string;
  readonly x: number;
  readonly y: number;
  readonly mark: "dot" | "ring" | "cross";
  readonly colour: string;
}

export interface ScatterPicture {
  readonly x: Axis;
  readonly y: Axis;
  /** Drawn in this order: the last is on top. */
  readonly points: readonly ScatterPoint[];
  readonly ink: Ink;
}

export interface ScatterChart {
  draw(picture: ScatterPicture): void;
  highlight(id: string | null): { readonly left: number; readonly top: number } | null;
  /** The point within reach of a place on the canvas, nearest first. */
  at(left: number, top: number): string | null;
  resize(): void;
}

const EDGE = { left: 54, right: 12, top: 10, bottom: 26 } as const;
const REACH = 14;
/** From here on points are drawn in bulk. */
const MANY = 3_000;

export function createScatterChart(under: HTMLCanvasElement, over: HTMLCanvasElement): ScatterChart {
  let picture: ScatterPicture | null = null;
  let places = new Float32Array(0);

  const highlight: ScatterChart["highlight"] = (id) => {
    const context = prepared(over);
    if (context === null || picture === null || id === null) return null;
    const i = picture.points.findIndex((point) => point.id === id);
    if (i < 0 || Number.isNaN(places[i * 2])) return null;
    const left = places[i * 2] ?? 0;
    const top = places[i * 2 + 1] ?? 0;
    context.lineWidth = 2;
    context.strokeStyle = picture.ink.ground;
    circle(context, left, top, 9.5);
    context.strokeStyle = picture.ink.text;
    circle(context, left, top, 7.5);
    return { left, top };
  };

  const redraw = () => {
    const context = prepared(under);
    if (context === null || picture === null) return;
    const box = frameOf(under);
    places = placesOf(picture, box);
    drawAxes(context, picture, box);
    drawPoints(context, picture, places);
  };

  return {
    draw(next) {
      picture = next;
      redraw();
    },
    highlight,
    at(left, top) {
      let nearest = -1;
      let distance = REACH * REACH;
      for (let i = 0; i < places.length / 2; i++) {
        const squared = ((places[i * 2] ?? 0) - left) ** 2 + ((places[i * 2 + 1] ?? 0) - top) ** 2;
        // Later points lie on top, so that a draw goes to what is seen.
        if (squared <= distance) {
          distance = squared;
          nearest = i;
        }
      }
      return picture?.points[nearest]?.id ?? null;
    },
    resize: redraw,
  };
}

interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function frameOf(canvas: HTMLCanvasElement): Frame {
  return {
    left: EDGE.left,
    top: EDGE.top,
    width: Math.max(1, canvas.clientWidth - EDGE.left - EDGE.right),
    height: Math.max(1, canvas.clientHeight - EDGE.top - EDGE.bottom),
  };
}

/** Cleared, sized to the screen's pixels, drawn in CSS pixels. */
function prepared(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const context = canvas.getContext("2d");
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

function placesOf(picture: ScatterPicture, box: Frame): Float32Array<ArrayBuffer> {
  const places = new Float32Array(picture.points.length * 2);
  picture.points.forEach((point, i) => {
    const x = picture.x.place(point.x);
    const y = picture.y.place(point.y);
    places[i * 2] = x === null || y === null ? Number.NaN : box.left + x * box.width;
    places[i * 2 + 1] = x === null || y === null ? Number.NaN : box.top + (1 - y) * box.height;
  });
  return places;
}

function drawAxes(context: CanvasRenderingContext2D, picture: ScatterPicture, box: Frame): void {
  const { ink, x, y } = picture;
  const bottom = box.top + box.height;
  context.font = ink.font;
  context.lineWidth = 1;
  context.strokeStyle = ink.grid;
  context.fillStyle = ink.faint;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const tick of x.ticks(Math.max(2, Math.floor(box.width / 56)))) {
    const left = crisp(box.left + tick.at * box.width);
    line(context, left, box.top, left, bottom);
    context.fillText(tick.label, left, bottom + 7);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of y.ticks(Math.max(2, Math.floor(box.height / 30)))) {
    const top = crisp(bottom - tick.at * box.height);
    line(context, box.left, top, box.left + box.width, top);
    context.fillText(tick.label, box.left - 8, top);
  }
  if (x.breakAt !== null) drawBreak(context, ink, box.left + x.breakAt * box.width, bottom, "x");
  if (y.breakAt !== null) drawBreak(context, ink, box.left, bottom - y.breakAt * box.height, "y");
}

/** Two short slanted strokes: between here and there the axis leaves something out. */
function drawBreak(context: CanvasRenderingContext2D, ink: Ink, left: number, top: number, axis: "x" | "y"): void {
  context.strokeStyle = ink.faint;
  context.lineWidth = 1.25;
  for (const shift of [-2.5, 2.5]) {
    if (axis === "x") line(context, left + shift - 2, top + 5, left + shift + 2, top - 5);
    else line(context, left - 5, top + shift + 2, left + 5, top + shift - 2);
  }
}

function drawPoints(context: CanvasRenderingContext2D, picture: ScatterPicture, places: Float32Array): void {
  const many = picture.points.length;
  const radius = many > 20_000 ? 1.5 : many > MANY ? 2 : many > 300 ? 3.5 : 5;
  if (many > MANY) {
    drawSquares(context, picture, places, radius);
    return;
  }
  picture.points.forEach((point, i) => {
    const left = places[i * 2] ?? Number.NaN;
    const top = places[i * 2 + 1] ?? Number.NaN;
    if (Number.isNaN(left)) return;
    context.strokeStyle = point.colour;
    if (point.mark === "cross") {
      const arm = radius * 0.85;
      context.lineWidth = many > 300 ? 1 : 1.6;
      line(context, left - arm, top - arm, left + arm, top + arm);
      line(context, left - arm, top + arm, left + arm, top - arm);
    } else if (point.mark === "ring") {
      context.lineWidth = 1.25;
      circle(context, left, top, radius - 0.75);
    } else {
      context.fillStyle = point.colour;
      context.beginPath();
      context.arc(left, top, radius, 0, 2 * Math.PI);
      context.fill();
      context.strokeStyle = picture.ink.ground;
      context.lineWidth = 0.75;
      context.stroke();
    }
  });
}

/** Many points: squares and small crosses, one path for each run of points that look alike. */
function drawSquares(
  context: CanvasRenderingContext2D,
  picture: ScatterPicture,
  places: Float32Array,
  radius: number,
): void {
  let colour = "";
  let mark: ScatterPoint["mark"] = "dot";
  const finish = () => {
    if (mark === "dot") {
      context.fillStyle = colour;
      context.fill();
    } else {
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.stroke();
    }
  };
  context.beginPath();
  picture.points.forEach((point, i) => {
    const left = places[i * 2] ?? Number.NaN;
    const top = places[i * 2 + 1] ?? Number.NaN;
    if (Number.isNaN(left)) return;
    if (point.colour !== colour || point.mark !== mark) {
      finish();
      context.beginPath();
      ({ colour, mark } = point);
    }
    if (mark === "cross") {
      context.moveTo(left - radius, top - radius);
      context.lineTo(left + radius, top + radius);
      context.moveTo(left - radius, top + radius);
      context.lineTo(left + radius, top - radius);
    } else context.rect(left - radius, top - radius, radius * 2, radius * 2);
  });
  finish();
}

function circle(context: CanvasRenderingContext2D, left: number, top: number, radius: number): void {
  context.beginPath();
  context.arc(left, top, Math.max(0.5, radius), 0, 2 * Math.PI);
  context.stroke();
}

function line(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function crisp(value: number): number {
  return Math.round(value) + 0.5;
}
