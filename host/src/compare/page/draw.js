// How a timeline is drawn on its canvas.

// In pixels: the names of pipes, the scale, a lane, the room between lanes in which tokens are drawn.
const GUTTER = 60;
const SCALE = 24;
const LANE = 22;
const ROOM = 18;

let colours = null;
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  colours = null;
  if (current) showKernel(current.kernel, current.pipeline);
});

/** Colours of the present scheme, from the style sheet. */
function palette() {
  if (colours) return colours;
  const style = getComputedStyle(document.documentElement);
  const names = ['text', 'muted', 'line', 'surface', 'accent', 'critical', 'on-work', 'on-sync', 'work', 'sync', ...REASONS];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return colours;
}

// How stalls are hatched, so that they differ without colour: steps of the lines and their direction.
const HATCH = { wait: [5, 1], set: [5, -1], barrier: [4, Infinity], queue: [4, 0], dispatch: [10, 1] };

/** One span: solid for work, hatched for a stall. */
function fillSpan(context, kind, x, y, width, height) {
  const colour = palette()[kind];
  context.fillStyle = colour;
  if (!HATCH[kind]) {
    context.fillRect(x, y, width, height);
    return;
  }
  context.globalAlpha = 0.22;
  context.fillRect(x, y, width, height);
  context.globalAlpha = 1;
  if (width < 3) {
    context.fillRect(x, y + height / 2 - 1, width, 2);
    return;
  }
  const [step, slope] = HATCH[kind];
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.beginPath();
  if (slope === 0) for (let at = y + 2; at < y + height; at += step) line2(context, x, at, x + width, at);
  else if (slope === Infinity) for (let at = x - (x % step); at < x + width; at += step) line2(context, at, y, at, y + height);
  else {
    for (let at = x - (x % step) - height; at < x + width + height; at += step) {
      if (slope > 0) line2(context, at, y + height, at + height, y);
      else line2(context, at, y, at + height, y + height);
    }
  }
  context.strokeStyle = colour;
  context.lineWidth = 1.3;
  context.stroke();
  context.restore();
  context.fillRect(x, y, Math.min(1.5, width), height);
}

function line2(context, x1, y1, x2, y2) {
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
}

const isSync = (text) => /^(set|wait|barrier)\b/.test(text);

/** Draws all charts of a scene at the next frame. */
function paint(scene) {
  if (scene.pending) return;
  scene.pending = true;
  requestAnimationFrame(() => {
    scene.pending = false;
    for (const chart of scene.charts) if (chart.canvas.isConnected) drawChart(chart);
  });
}

const laneTop = (lane) => SCALE + ROOM / 2 + lane * (LANE + ROOM);

function drawChart(chart) {
  const { scene, timeline, canvas } = chart;
  const width = canvas.clientWidth;
  const height = laneTop(timeline.lanes.length) - ROOM / 2 + 4;
  const dense = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  const context = canvas.getContext('2d');
  context.scale(dense, dense);
  context.font = '11px ui-monospace, monospace';
  context.textBaseline = 'middle';
  chart.scaleX = (width - GUTTER - 2) / (scene.to - scene.from);
  const x = (time) => GUTTER + (time - scene.from) * chart.scaleX;
  drawScale(context, scene, x, height, width);
  context.save();
  context.beginPath();
  context.rect(GUTTER, SCALE, width - GUTTER, height);
  context.clip();
  for (const lane of timeline.lanes.keys()) drawLane(context, chart, lane, x);
  drawEnd(context, chart, x, height);
  if (scene.edges) drawEdges(context, chart, x);
  context.restore();
  context.fillStyle = palette().text;
  context.font = '600 12px system-ui, sans-serif';
  for (const [lane, { pipe }] of timeline.lanes.entries()) context.fillText(pipe, 4, laneTop(lane) + LANE / 2);
}

function drawScale(context, scene, x, height, width) {
  const { muted, line } = palette();
  const rough = ((scene.to - scene.from) * 90) / Math.max(90, width - GUTTER);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
  context.textAlign = 'center';
  for (let time = Math.ceil(scene.from / step) * step; time <= scene.to; time += step) {
    context.fillStyle = line;
    context.fillRect(x(time), SCALE - 6, 1, height);
    context.fillStyle = muted;
    const text = number(time);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(width - half - 2, Math.max(GUTTER + half, x(time))), 9);
  }
  context.textAlign = 'left';
  context.fillText('cycle', 4, 9);
}

/** Marks where the function ends. */
function drawEnd(context, { timeline }, x, height) {
  context.fillStyle = palette().text;
  context.fillRect(Math.round(x(timeline.shown)) - 1, SCALE - 2, 2, height);
}

function drawLane(context, chart, lane, x) {
  const { scene, timeline } = chart;
  const { spans } = timeline.lanes[lane];
  const y = laneTop(lane);
  context.fillStyle = palette().line;
  context.fillRect(GUTTER, y + LANE, context.canvas.width, 1);
  const mark = scene.selected;
  const markedLine = mark && mark.chart.timeline.statements[statementAt(mark)]?.line;
  for (let n = firstEndingAfter(spans, scene.from); n < spans.start.length && spans.start[n] <= scene.to; n++) {
    const left = Math.max(GUTTER - 4, x(spans.start[n]));
    const width = Math.max(1, x(spans.end[n]) - left - 0.5);
    const statement = timeline.statements[spans.statement[n]];
    const kind = spans.reason[n] ? REASONS[spans.reason[n] - 1] : isSync(statement.text) ? 'sync' : 'work';
    fillSpan(context, kind, left, y, width, LANE);
    if (scene.critical && spans.critical[n]) {
      context.fillStyle = palette().critical;
      context.fillRect(left, y + LANE + 1, width, 3);
    }
    // Queue and dispatch are no matter of the statement that they hold up.
    const text = kind === 'queue' || kind === 'dispatch' ? kind : statement.text.replace(/^pto\./, '');
    if (width > 26) label(context, text, kind, left, y, width);
    const isMarked = mark?.chart === chart && mark.lane === lane && mark.span === n;
    if (isMarked || (markedLine && markedLine === statement.line && !spans.reason[n] && width > 2)) {
      context.strokeStyle = palette().text;
      context.lineWidth = isMarked ? 2.5 : 1;
      context.setLineDash(isMarked ? [] : [2, 2]);
      context.strokeRect(left - 0.5, y - 1, width + 1, LANE + 2);
      context.setLineDash([]);
    }
  }
}

function label(context, text, kind, left, y, width) {
  const fits = Math.floor((width - 8) / 6.7);
  const shown = text.length <= fits ? text : fits > 3 ? `${text.slice(0, fits - 1)}…` : '';
  if (!shown) return;
  const { text: ink, surface } = palette();
  if (HATCH[kind]) {
    context.fillStyle = surface;
    context.globalAlpha = 0.85;
    context.fillRect(left + 3, y + 4, shown.length * 6.7 + 3, LANE - 8);
    context.globalAlpha = 1;
  }
  context.fillStyle = HATCH[kind] ? ink : palette()[`on-${kind}`];
  context.fillText(shown, left + 4, y + LANE / 2 + 0.5);
}

/** Tokens on their way from a set to a wait. Those of the selected span are thick, the others step back. */
function drawEdges(context, chart, x) {
  const { scene, timeline } = chart;
  const { accent, text } = palette();
  const visible = timeline.edges.filter((edge) => edge.toTime >= scene.from && edge.fromTime <= scene.to);
  const marked = scene.selected?.chart === chart ? edgesOf(scene.selected) : [];
  const quiet = visible.length > 80 ? 0.3 : marked.length ? 0.45 : 0.8;
  for (const edge of visible) drawEdge(context, edge, x, accent, quiet, 1);
  for (const edge of marked) drawEdge(context, edge, x, text, 1, 2.5);
}

function drawEdge(context, edge, x, colour, alpha, width) {
  const down = edge.toLane > edge.fromLane;
  const [x1, x2] = [x(edge.fromTime), x(edge.toTime)];
  const y1 = laneTop(edge.fromLane) + (down ? LANE : 0);
  const y2 = laneTop(edge.toLane) + (down ? 0 : LANE);
  const bend = (y2 - y1) / 2;
  context.globalAlpha = alpha;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(x1, y1);
  context.bezierCurveTo(x1, y1 + bend, x2, y2 - bend, x2, y2);
  context.stroke();
  const [tip, half] = [down ? -5 - width : 5 + width, 2 + width];
  context.beginPath();
  context.moveTo(x2, y2);
  context.lineTo(x2 - half, y2 + tip);
  context.lineTo(x2 + half, y2 + tip);
  context.fill();
  context.globalAlpha = 1;
}
