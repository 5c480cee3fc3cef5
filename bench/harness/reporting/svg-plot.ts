import type { Curve } from './curve.js';
import { formatNumber } from './table.js';

const WIDTH = 720;
const HEIGHT = 400;
const MARGIN = { left: 80, right: 180, top: 40, bottom: 50 };
/** Told apart also by people who see few colours (Okabe and Ito). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'];
const TICKS = 5;

type Scale = (value: number) => number;

/** A curve as a picture without a library: lines, axes, a legend. y begins at 0, so that a small difference looks small. */
export function renderPlot(curve: Curve): string {
  const points = curve.lines.flatMap((line) => line.points);
  if (points.length === 0) throw new Error(`The curve '${curve.file}' has no points.`);
  const xs = points.map(([x]) => x);
  const yMax = niceCeiling(Math.max(...points.map(([, y]) => y)));
  const toX = scale(Math.min(...xs), Math.max(...xs), MARGIN.left, WIDTH - MARGIN.right, curve.xScale === 'log');
  const toY = scale(0, yMax, HEIGHT - MARGIN.bottom, MARGIN.top, false);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(MARGIN.left, 22, curve.title, 'start', 'font-size="15"'),
    ...yAxis(yMax, toY),
    ...xAxis([...new Set(xs)], toX),
    text((MARGIN.left + WIDTH - MARGIN.right) / 2, HEIGHT - 10, curve.xLabel, 'middle'),
    text(16, HEIGHT / 2, curve.yLabel, 'middle', `transform="rotate(-90 16 ${HEIGHT / 2})"`),
    ...curve.lines.flatMap((line, index) => drawLine(line.name, line.points, index, toX, toY)),
    '</svg>',
    '',
  ].join('\n');
}

function scale(from: number, to: number, start: number, end: number, isLog: boolean): Scale {
  const on = (value: number): number => (isLog ? Math.log10(value) : value);
  const width = on(to) - on(from);
  return (value) => (width === 0 ? (start + end) / 2 : start + ((on(value) - on(from)) / width) * (end - start));
}

function yAxis(yMax: number, toY: Scale): readonly string[] {
  return Array.from({ length: TICKS + 1 }, (_, tick) => (yMax * tick) / TICKS).flatMap((value) => [
    `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at(toY(value))}" y2="${at(toY(value))}" stroke="#dddddd"/>`,
    text(MARGIN.left - 8, toY(value) + 4, formatNumber(value), 'end'),
  ]);
}

function xAxis(values: readonly number[], toX: Scale): readonly string[] {
  return values.map((value) => text(toX(value), HEIGHT - MARGIN.bottom + 18, formatNumber(value), 'middle'));
}

function drawLine(
  name: string,
  points: readonly (readonly [number, number])[],
  index: number,
  toX: Scale,
  toY: Scale,
): readonly string[] {
  const colour = COLOURS[index % COLOURS.length] ?? '#000000';
  const sorted = [...points].sort(([a], [b]) => a - b);
  const path = sorted.map(([x, y]) => `${at(toX(x))},${at(toY(y))}`).join(' ');
  const legendY = MARGIN.top + 10 + index * 20;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...sorted.map(([x, y]) => `<circle cx="${at(toX(x))}" cy="${at(toY(y))}" r="3" fill="${colour}"/>`),
    `<rect x="${WIDTH - MARGIN.right + 14}" y="${legendY - 9}" width="10" height="10" fill="${colour}"/>`,
    text(WIDTH - MARGIN.right + 30, legendY, name, 'start'),
  ];
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', more = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" ${more}>${escaped}</text>`;
}

/** The next 1, 2, 2.5 or 5 times a power of ten. */
function niceCeiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 2.5, 5, 10].find((step) => step * power >= value) ?? 10);
}

function at(value: number): string {
  return value.toFixed(1);
}
