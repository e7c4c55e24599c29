// Timelines of two pipelines below each other, on one scale, so that lengths can be compared.

const REASONS = ['wait', 'set', 'barrier', 'queue', 'dispatch'];
const WHY = {
  wait: 'waits for a flag',
  set: 'its set waits until the flag is taken',
  barrier: 'waits at a barrier',
  queue: 'the scalar unit waits for room in a full queue',
  dispatch: 'nothing was handed out to it yet',
};
const LEAST_CYCLES = 16;

/** A timeline as it is in the page, with arrays that can be searched. */
function decode(packed, strings) {
  const critical = new Set(packed.critical.map(([statement, pipe, start]) => `${strings[pipe]} ${statement} ${start}`));
  const lanes = packed.lanes.map((lane) => {
    const count = lane.spans.length / 4;
    const spans = { start: new Float64Array(count), end: new Float64Array(count), statement: new Int32Array(count), reason: new Uint8Array(count), critical: new Uint8Array(count) };
    let time = 0;
    for (let n = 0; n < count; n++) {
      const [gap, length, statement, reason] = lane.spans.slice(4 * n, 4 * n + 4);
      spans.start[n] = time + gap;
      spans.end[n] = time = time + gap + length;
      spans.statement[n] = statement;
      spans.reason[n] = reason;
      spans.critical[n] = reason === 0 && critical.has(`${lane.pipe} ${statement} ${spans.start[n]}`) ? 1 : 0;
    }
    return { ...lane, spans };
  });
  const statements = packed.statements.map(([text, line, source]) => ({ text: strings[text], line, source: strings[source] }));
  const edges = packed.edges.map(([fromLane, fromTime, toLane, toTime, set, wait]) => ({ fromLane, fromTime, toLane, toTime, set, wait }));
  return { ...packed, lanes, statements, edges };
}

/** Builds both timelines into a section, with what belongs to them. */
function timelines(host, detail, sides) {
  const present = sides.filter((index) => detail.results[index].timeline);
  if (!present.length) {
    const why = detail.results.some((result) => result.metrics) ? 'The report was made without timelines.' : 'It was not compiled.';
    return h('p', {}, why);
  }
  const longest = Math.max(1, ...present.map((index) => detail.results[index].timeline.shown));
  const scene = { from: 0, to: longest, end: longest, charts: [], selected: null, edges: true, critical: true };
  const said = h('div', { class: 'said', role: 'status' }, 'Point at a span, or move with the arrow keys in a timeline.');
  scene.say = (content) => said.replaceChildren(...content);
  host.append(controls(scene), legend());
  for (const index of present) {
    const timeline = decode(detail.results[index].timeline, detail.strings);
    const canvas = h('canvas', {
      tabindex: 0,
      role: 'application',
      'aria-roledescription': 'timeline',
      'aria-label': `Timeline under ${pipelines[index].name}: ${timeline.lanes.map((lane) => lane.pipe).join(', ')}; ${number(timeline.cycles)} cycles. Arrow keys move from span to span.`,
    });
    const chart = { scene, timeline, canvas, index };
    scene.charts.push(chart);
    const left = timeline.shown < timeline.cycles ? ` (the first ${number(timeline.shown)} are drawn)` : '';
    host.append(h('h4', {}, pipelines[index].name, h('small', {}, ` ${number(timeline.cycles)} cycles${left}`)), canvas);
    listen(chart);
  }
  host.append(said);
  host.append(h('div', { class: 'sides' }, scene.charts.map((chart) => h('div', {}, h('h4', {}, pipelines[chart.index].name),
    pipesTable(chart.timeline), lossesTable(chart.timeline), criticalPath(chart.timeline, detail.strings)))));
  paint(scene);
  return null;
}

function controls(scene) {
  const button = (title, text, click) => h('button', { type: 'button', title, 'aria-label': title, click }, text);
  const box = (name, title) => h('label', {}, h('input', {
    type: 'checkbox', checked: true, change: (event) => { scene[name] = event.target.checked; paint(scene); },
  }), ` ${title}`);
  return h('div', { class: 'controls', role: 'group', 'aria-label': 'Timelines' },
    button('Zoom in', '+', () => zoom(scene, 0.5)), button('Zoom out', '−', () => zoom(scene, 2)),
    button('Show all', 'All', () => moveTo(scene, 0, scene.end)),
    button('Go to where the two first differ', 'First difference', () => toDifference(scene)), box('edges', 'tokens'), box('critical', 'critical path'),
    h('span', { class: 'quiet' }, 'Ctrl + wheel zooms, dragging moves, ? lists the keys'));
}

function legend() {
  const swatch = (kind) => {
    const canvas = h('canvas', { width: 56, height: 28, 'aria-hidden': 'true' });
    const context = canvas.getContext('2d');
    context.scale(2, 2);
    if (kind === 'critical' || kind === 'accent') fillSpan(context, kind, 0, 9, 28, kind === 'critical' ? 3 : 1);
    else fillSpan(context, kind, 0, 0, 28, 14);
    return canvas;
  };
  const entry = (kind, text) => h('li', {}, swatch(kind), ` ${text}`);
  return h('ul', { class: 'legend', 'aria-label': 'Legend' }, entry('work', 'works'), entry('sync', 'synchronizes'),
    REASONS.map((reason) => entry(reason, `${reason}: ${WHY[reason]}`)),
    entry('critical', 'under a span: on the critical path'), entry('accent', 'with a tip: a token from its set to its wait'));
}

/** Index of the first span that ends after a time. */
function firstEndingAfter({ end }, time) {
  let [low, high] = [0, end.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (end[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

const spansOf = ({ chart, lane }) => chart.timeline.lanes[lane].spans;
const statementAt = (mark) => spansOf(mark).statement[mark.span];

/** Tokens that a span sets or takes. */
function edgesOf(mark) {
  const spans = spansOf(mark);
  const statement = statementAt(mark);
  // A token is taken in the cycle after the stall, and set when the set is done.
  const during = (time) => time >= spans.start[mark.span] && time <= spans.end[mark.span] + 1;
  return mark.chart.timeline.edges.filter((edge) =>
    (edge.toLane === mark.lane && edge.wait === statement && during(edge.toTime)) ||
    (edge.fromLane === mark.lane && edge.set === statement && during(edge.fromTime)));
}

/** The span of a lane at a time, or the one nearest to it. */
function spanAt(chart, lane, time) {
  const { start, end } = chart.timeline.lanes[lane].spans;
  if (!start.length) return null;
  const next = Math.min(firstEndingAfter(chart.timeline.lanes[lane].spans, time), start.length - 1);
  const before = Math.max(0, next - 1);
  const span = start[next] > time && time - end[before] < start[next] - time ? before : next;
  return { chart, lane, span };
}

/** The span under a point of a chart, with a little tolerance for thin ones. */
function spanUnder(chart, event) {
  const lane = Math.floor((event.offsetY - SCALE) / (LANE + ROOM));
  if (event.offsetX < GUTTER || event.offsetY < SCALE || lane < 0 || lane >= chart.timeline.lanes.length) return null;
  const time = chart.scene.from + (event.offsetX - GUTTER) / chart.scaleX;
  const mark = spanAt(chart, lane, time);
  if (!mark) return null;
  const away = Math.max(spansOf(mark).start[mark.span] - time, time - spansOf(mark).end[mark.span]);
  return away * chart.scaleX <= 4 ? mark : null;
}

function describe(mark) {
  const { chart, lane, span } = mark;
  const { start, end, reason } = spansOf(mark);
  const statement = chart.timeline.statements[statementAt(mark)];
  const why = reason[span] ? REASONS[reason[span] - 1] : null;
  const tokens = edgesOf(mark).map((edge) => {
    const { lanes, statements } = chart.timeline;
    return edge.toLane === lane && edge.wait === statementAt(mark)
      ? `token from ${lanes[edge.fromLane].pipe}, set at cycle ${number(edge.fromTime)}`
      : `token for ${lanes[edge.toLane].pipe}, taken at cycle ${number(edge.toTime)} by ${statements[edge.wait].text}`;
  });
  return [
    h('div', {}, h('strong', {}, statement.text), ` on ${chart.timeline.lanes[lane].pipe}`,
      why ? h('span', { class: 'stall' }, ` stalled, ${why}: ${WHY[why]}`) : '',
      spansOf(mark).critical[span] ? ' · on the critical path' : ''),
    h('div', {}, `cycles ${number(start[span])} to ${number(end[span])} (${number(end[span] - start[span])})`, tokens.length ? ` · ${tokens.join('; ')}` : ''),
    statement.line ? h('div', {}, `line ${statement.line}: `, h('code', {}, statement.source)) : null,
  ].filter(Boolean);
}

function hideTip() {
  byId('tip').hidden = true;
}

function showTip(mark, event) {
  const tip = byId('tip');
  tip.replaceChildren(...describe(mark));
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10}px`;
}

function select(mark) {
  const { scene } = mark.chart;
  scene.selected = mark;
  const [start, end] = [spansOf(mark).start[mark.span], spansOf(mark).end[mark.span]];
  const length = scene.to - scene.from;
  if (end < scene.from || start > scene.to) moveTo(scene, (start + end - length) / 2, (start + end + length) / 2);
  scene.say(describe(mark));
  paint(scene);
}

/** Shows that part of the time, as far as there is any. */
function moveTo(scene, from, to) {
  hideTip();
  const length = Math.min(scene.end, Math.max(LEAST_CYCLES, to - from));
  scene.from = Math.max(0, Math.min(from, scene.end - length));
  scene.to = scene.from + length;
  paint(scene);
}

/** The time from which on two timelines are not the same; none if they always are. */
function firstDifference([a, b]) {
  const spansAt = ({ timeline }, pipe) => timeline.lanes.find((lane) => lane.pipe === pipe)?.spans;
  // Which event id a flag has takes no time.
  const text = ({ timeline }, spans, n) => timeline.statements[spans.statement[n]].text.replace(/#\d+$/, '');
  const pipes = new Set([...a.timeline.lanes, ...b.timeline.lanes].map((lane) => lane.pipe));
  const times = [...pipes].map((pipe) => {
    const [x, y] = [spansAt(a, pipe), spansAt(b, pipe)];
    if (!x || !y) return (x ?? y).start[0] ?? Infinity;
    const count = Math.min(x.start.length, y.start.length);
    for (let n = 0; n < count; n++) {
      const same = x.start[n] === y.start[n] && x.reason[n] === y.reason[n] && text(a, x, n) === text(b, y, n);
      if (!same) return Math.min(x.start[n], y.start[n]);
      if (x.end[n] !== y.end[n]) return Math.min(x.end[n], y.end[n]);
    }
    // What is behind the end of the other may only not be drawn.
    return x.start[count] ?? y.start[count] ?? Infinity;
  });
  const first = Math.min(...times);
  return first === Infinity ? null : first;
}

/** How many cycles around a difference are shown. */
const AROUND_DIFFERENCE = 300;

function toDifference(scene) {
  const time = scene.charts.length > 1 ? firstDifference(scene.charts) : null;
  if (time === null) return scene.say(['The two timelines are the same, as far as they are drawn.']);
  scene.say([`The two first differ at cycle ${number(time)}.`]);
  return moveTo(scene, time - AROUND_DIFFERENCE / 3, time + AROUND_DIFFERENCE);
}

/** Zooms about a time, by default about what is selected and visible, else the middle. */
function zoom(scene, factor, about) {
  const { selected, from, to } = scene;
  const start = selected && spansOf(selected).start[selected.span];
  const fixed = about ?? (start !== null && start >= from && start <= to ? start : (from + to) / 2);
  const length = Math.min(scene.end, Math.max(LEAST_CYCLES, (to - from) * factor));
  const left = fixed - ((fixed - from) * length) / (to - from);
  moveTo(scene, left, left + length);
}

function listen(chart) {
  const { scene, canvas } = chart;
  let drag = null;
  canvas.addEventListener('pointerdown', (event) => {
    drag = { x: event.offsetX, from: scene.from, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (drag) {
      const by = event.offsetX - drag.x;
      drag.moved ||= Math.abs(by) > 3;
      if (drag.moved) moveTo(scene, drag.from - by / chart.scaleX, drag.from - by / chart.scaleX + scene.to - scene.from);
      return hideTip();
    }
    const mark = spanUnder(chart, event);
    if (mark) showTip(mark, event);
    else hideTip();
  });
  canvas.addEventListener('pointerup', (event) => {
    const mark = drag && !drag.moved && spanUnder(chart, event);
    drag = null;
    if (mark) select(mark);
  });
  canvas.addEventListener('pointerleave', hideTip);
  canvas.addEventListener('dblclick', (event) => zoom(scene, 0.4, scene.from + (event.offsetX - GUTTER) / chart.scaleX));
  canvas.addEventListener('wheel', (event) => {
    const time = scene.from + (event.offsetX - GUTTER) / chart.scaleX;
    const sideways = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    if (event.ctrlKey || event.metaKey) zoom(scene, Math.exp(event.deltaY / 300), time);
    else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) moveTo(scene, scene.from + sideways / chart.scaleX, scene.to + sideways / chart.scaleX);
    else return;
    hideTip();
    event.preventDefault();
  }, { passive: false });
  canvas.addEventListener('keydown', (event) => onTimelineKey(event, chart));
  canvas.addEventListener('focus', () => {
    if (canvas.matches(':focus-visible') && scene.selected?.chart !== chart) moveMark(chart, 0, 0);
  });
  new ResizeObserver(() => paint(scene)).observe(canvas);
}

function onTimelineKey(event, chart) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const { scene } = chart;
  const by = (part) => moveTo(scene, scene.from + part * (scene.to - scene.from), scene.to + part * (scene.to - scene.from));
  const arrows = event.shiftKey
    ? { ArrowRight: () => by(0.25), ArrowLeft: () => by(-0.25) }
    : {
      ArrowRight: () => moveMark(chart, 1, 0), ArrowLeft: () => moveMark(chart, -1, 0),
      ArrowDown: () => moveMark(chart, 0, 1), ArrowUp: () => moveMark(chart, 0, -1),
    };
  const actions = {
    ...arrows, '+': () => zoom(scene, 0.5), '=': () => zoom(scene, 0.5), w: () => zoom(scene, 0.5), '-': () => zoom(scene, 2),
    s: () => zoom(scene, 2), d: () => by(0.25), a: () => by(-0.25), f: () => toDifference(scene), 0: () => moveTo(scene, 0, scene.end), Enter: () => follow(chart),
  };
  if (!actions[event.key]) return;
  actions[event.key]();
  event.preventDefault();
}

/** Selects the span that many further on the pipe, or of another pipe at the same time. */
function moveMark(chart, spans, lanes) {
  const own = chart.scene.selected?.chart === chart ? chart.scene.selected : null;
  if (!own) {
    const lane = chart.timeline.lanes.findIndex((l) => l.spans.start.length);
    if (lane >= 0) select(spanAt(chart, lane, chart.scene.from));
    return;
  }
  const { start, end } = spansOf(own);
  const count = start.length;
  const mark = lanes
    ? spanAt(chart, Math.max(0, Math.min(own.lane + lanes, chart.timeline.lanes.length - 1)), (start[own.span] + end[own.span]) / 2)
    : { ...own, span: Math.max(0, Math.min(own.span + spans, count - 1)) };
  if (mark) select(mark);
}

/** From a wait to the set that it waited for, or from a set to its wait. */
function follow(chart) {
  const own = chart.scene.selected;
  if (own?.chart !== chart) return;
  const statement = statementAt(own);
  const edges = edgesOf(own);
  const taken = edges.find((edge) => edge.toLane === own.lane && edge.wait === statement);
  const edge = taken ?? edges[0];
  if (!edge) return;
  const [lane, time, wanted] = taken ? [edge.fromLane, edge.fromTime, edge.set] : [edge.toLane, edge.toTime, edge.wait];
  const spans = chart.timeline.lanes[lane].spans;
  let span = spanAt(chart, lane, time)?.span;
  // The set may be done at the end of its span.
  for (const near of [span, span - 1, span + 1]) if (spans.statement[near] === wanted) { span = near; break; }
  select({ chart, lane, span });
}

function pipesTable(timeline) {
  const share = (n) => `${((100 * n) / Math.max(1, timeline.cycles)).toFixed(1)} %`;
  const used = REASONS.filter((reason) => timeline.lanes.some((lane) => lane.stalls[reason]));
  const row = (lane) => h('tr', {}, h('th', { scope: 'row' }, lane.pipe), h('td', { class: 'figure' }, number(lane.busy)), h('td', { class: 'figure' }, share(lane.busy)),
    used.map((reason) => h('td', { class: 'figure' }, lane.stalls[reason] ? number(lane.stalls[reason]) : '')));
  return h('table', { class: 'pipes' }, h('caption', {}, 'Cycles by pipe: busy, and stalled by reason'),
    h('thead', {}, h('tr', {}, ['Pipe', 'Busy', 'Of all', ...used].map((title, n) => h('th', { scope: 'col', class: n ? 'figure' : '' }, title)))),
    h('tbody', {}, timeline.lanes.map(row)));
}

const MOST_LOSSES = 8;

function lossesTable({ losses, statements }) {
  const row = ([statement, count, cycles]) => h('tr', {}, h('td', {}, statements[statement].text), h('td', { class: 'figure' }, statements[statement].line || ''),
    h('td', { class: 'figure' }, number(count)), h('td', { class: 'figure' }, number(cycles)));
  if (!losses.length) return h('p', {}, 'No synchronization statement costs a cycle.');
  return h('table', { class: 'pipes' }, h('caption', {}, 'Synchronization that costs most', losses.length > MOST_LOSSES ? `, ${MOST_LOSSES} of ${losses.length}` : ''),
    h('thead', {}, h('tr', {}, ['Statement', 'Line', 'Times', 'Cycles'].map((title, n) => h('th', { scope: 'col', class: n ? 'figure' : '' }, title)))),
    h('tbody', {}, losses.slice(0, MOST_LOSSES).map(row)));
}

/** The steps that the end waited for, made when they are asked for. */
function criticalPath({ critical, statements }, strings) {
  const row = ([statement, pipe, start, end, because]) => h('tr', {}, h('td', { class: 'figure' }, number(start)), h('td', { class: 'figure' }, number(end)),
    h('td', {}, strings[pipe]), h('td', {}, statements[statement].text), h('td', { class: 'figure' }, statements[statement].line || ''), h('td', {}, strings[because]));
  const details = h('details', {}, h('summary', {}, `Critical path: ${plural(critical.length, 'step')}`));
  const fill = () => details.append(h('div', { class: 'wide tall', tabindex: 0 }, h('table', { class: 'pipes' },
    h('thead', {}, h('tr', {}, ['From', 'To', 'Pipe', 'Statement', 'Line', 'Not before'].map((title) => h('th', { scope: 'col' }, title)))),
    h('tbody', {}, critical.map(row)))));
  details.addEventListener('toggle', fill, { once: true });
  return details;
}
