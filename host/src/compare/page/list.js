// The totals and the table of all kernels.

/** One line of the table: a kernel under one pipeline, beside the base. */
function makeRow(kernel, pipeline) {
  const { results, file } = kernels[kernel];
  const [first, figures] = [results[base], results[pipeline]];
  const cycles = [first?.cycles ?? null, figures?.cycles ?? null];
  const alone = pipeline === base;
  const ratio = alone || cycles.includes(null) || cycles[0] === 0 ? null : cycles[1] / cycles[0];
  const change = Math.sign(rankOf(figures) - rankOf(first));
  const words = [file, kernels[kernel].function, pipelines[pipeline].name, verdictOf(figures)];
  return {
    kernel,
    pipeline,
    first,
    figures,
    ratio,
    change,
    oneSided: (cycles[0] === null) !== (cycles[1] === null),
    cycles: alone || cycles.includes(null) ? 0 : Math.sign(cycles[1] - cycles[0]),
    words: [...words, ...(first?.rules ?? []), ...(figures?.rules ?? [])].join(' ').toLowerCase(),
  };
}

/** The pipelines that are measured against the base; a single one stands for itself. */
function others() {
  const all = pipelines.map((_, index) => index);
  return all.length > 1 ? all.filter((index) => index !== base) : all;
}

const makeRows = () => kernels.flatMap((_, kernel) => others().map((pipeline) => makeRow(kernel, pipeline)));

const FILTERS = [
  ['all', 'All', () => true],
  ['worse', 'Verdict worse', (row) => row.change > 0],
  ['better', 'Verdict better', (row) => row.change < 0],
  ['one', 'Only one gets through', (row) => row.oneSided],
  ['slower', 'Slower', (row) => row.cycles > 0],
  ['faster', 'Faster', (row) => row.cycles < 0],
  ['findings', 'With findings', (row) => Boolean(row.first?.rules || row.figures?.rules)],
];

const figure = (name) => (row) => row.figures?.[name] ?? null;
const COLUMNS = [
  { id: 'kernel', title: 'Kernel', value: (row) => keys[row.kernel], cell: nameCell },
  { id: 'pipeline', title: 'Pipeline', value: (row) => row.pipeline, cell: (row) => pipelines[row.pipeline].name },
  { id: 'verdict', title: 'Verdict', value: (row) => rankOf(row.figures), cell: verdictCell, falling: true },
  { id: 'cycles', title: 'Cycles', value: figure('cycles') },
  { id: 'ratio', title: 'Ratio', value: (row) => row.ratio, cell: ratioCell, hint: 'cycles through those of the pipeline measured against' },
  { id: 'sets', title: 'Sets', value: figure('sets') },
  { id: 'waits', title: 'Waits', value: figure('waits') },
  { id: 'barriers', title: 'Barriers', value: figure('barriers'), hint: 'of single pipes, in the program text' },
  { id: 'pipe_all', title: 'PIPE_ALL', value: figure('pipe_all'), hint: 'barriers of all pipes' },
  { id: 'ids', title: 'Peak ids', value: figure('ids'), hint: 'event ids of one pair of pipes in use at once' },
].filter((column) => pipelines.length > 2 || column.id !== 'pipeline');
const WORDS = ['kernel', 'pipeline', 'verdict'];

// What the table shows: rows in order, how many of them are in the document.
const list = { sort: null, falling: true, filter: 'all', pipeline: 'all', text: '', all: [], rows: [], drawn: 0 };
const CHUNK = 150;

const folder = commonFolder();

/** The longest folder that all files are in, with its separator. */
function commonFolder() {
  const paths = kernels.map((kernel) => kernel.file.split('/').slice(0, -1));
  let common = paths[0] ?? [];
  for (const path of paths) {
    let n = 0;
    while (n < common.length && common[n] === path[n]) n++;
    common = common.slice(0, n);
  }
  return common.length ? common.join('/') + '/' : '';
}

const shortFile = (file) => file.slice(folder.length);

/** The end of a path, which says more than its beginning. */
function lastOf(file) {
  const parts = shortFile(file).split('/');
  return parts.length > 2 ? ['…', ...parts.slice(-2)].join('/') : parts.join('/');
}

function about() {
  const parts = [`${plural(kernels.length, 'kernel')} of ${plural(report.files, 'file')}`, plural(pipelines.length, 'pipeline')];
  if (folder) parts.push(`below ${folder}`);
  if (report.shard) parts.push(`part ${report.shard.index} of ${report.shard.count}`);
  byId('about').append(parts.join(' · '));
  if (!report.complete) byId('about').append(' ', h('strong', { class: 'bad' }, '▲ interrupted: not all kernels are in it'));
}

function totals() {
  const figures = ['Geometric mean', 'Median', 'Compared', 'Cycles', 'Peak ids', 'Sync statements'];
  const head = ['Pipeline', 'Faster, equal, slower', ...figures.slice(0, 3), 'Verdicts', 'Gets through', ...figures.slice(3), 'Clean'];
  const rank = report.standings.pipelines.map((standing) => [
    number(standing.cycles),
    number(standing.ids),
    number(standing.statements),
    standing.clean ? `✓${standing.best ? ' best' : ''}` : '✕ no',
  ]);
  const rankCells = (texts) => texts.map((text, n) => h('td', { class: n < texts.length - 1 ? 'figure' : '' }, text));
  const pairings = report.pairings[base];
  const own = h('tr', {}, h('th', { scope: 'row' }, aboutPipeline(base)),
    h('td', { class: 'quiet', colspan: 6 }, pipelines.length > 1 ? 'what the others are measured against' : ''),
    rankCells(rank[base]));
  const body = pairings.map((pairing) => h('tr', {}, h('th', { scope: 'row' }, aboutPipeline(pairing.pipeline)),
    h('td', {}, wins(pairing)),
    ['geomean', 'median'].map((mean) => h('td', { class: `figure ${ratioClass(pairing[mean])}` }, ratioText(pairing[mean]), cleanOnly(pairing, ratioText(pairing.clean[mean])))),
    h('td', { class: 'figure' }, number(pairing.compared), cleanOnly(pairing, `${number(pairing.clean.compared)} clean`)),
    h('td', {}, filterLink(pairing.worse, 'worse', 'worse', pairing.pipeline), ', ',
      filterLink(pairing.better, 'better', 'better', pairing.pipeline)),
    h('td', {}, filterLink(pairing.one_sided, 'only one', 'one', pairing.pipeline),
      `, ${number(pairing.neither)} neither`),
    rankCells(rank[pairing.pipeline])));
  const measured = h('label', {}, 'Measured against ', h('select', {
    id: 'base', change: (event) => { location.hash = listAddress(Number(event.target.value)); },
  }, pipelines.map((p, index) => h('option', { value: index, selected: index === base }, p.name))));
  byId('totals').replaceChildren(...[
    pipelines.length > 2 && h('p', {}, measured),
    h('div', { class: 'wide' }, h('table', { class: 'totals' },
      h('thead', {}, h('tr', {}, head.map((title) => h('th', { scope: 'col', class: figures.includes(title) ? 'figure' : '' }, title)))),
      h('tbody', {}, own, body))),
    ...pairings.map(ranking),
    h('p', { class: 'quiet' }, assumptions()),
  ].filter(Boolean));
}

/** Draws anew what depends on the base. */
function measure() {
  const chose = document.activeElement?.id === 'base';
  totals();
  if (chose) byId('base').focus({ preventScroll: true });
  list.all = makeRows();
  if (list.pipeline !== 'all' && Number(list.pipeline) === base) list.pipeline = 'all';
  pipelineOptions();
  refresh();
}

function assumptions() {
  const given = Object.entries(report.assumptions.trips).map(([name, n]) => `, ${name} = ${n}`).join('');
  const { counted, left_out: leftOut } = report.standings;
  return `Ratios are cycles through those of ${pipelines[base].name}: below 1 is faster; the small ones are over the ` +
    `kernels that are clean, without errors on either side. Cycles, ids and statements of a ` +
    `pipeline are over ${plural(counted, 'kernel')}${leftOut ? `; no pipeline gets through the other ${number(leftOut)} without an error` : ''}. Loops whose bounds are not known are taken to have ` +
    `${report.assumptions.default_trips} trips${given}. Cycles rank plans; they are no times.`;
}

function aboutPipeline(index) {
  const { name, file, settings, stages } = pipelines[index];
  const options = (stage) => stage.options.map(([option, value]) => ` ${option} = ${value}`).join(',');
  return h('details', {}, h('summary', {}, name),
    h('div', { class: 'stages' },
      h('div', {}, [file, ...settings].join('  ')),
      h('ol', {}, stages.map((stage) => h('li', { title: stage.file }, stage.pass,
        h('span', { class: 'quiet' }, ` ${stage.plugin} ${stage.version}${options(stage)}`))))));
}

/** The same without kernels that have errors on a side: a plan that leaves a flag out is fast and wrong. */
function cleanOnly({ compared, clean }, text) {
  return clean.compared < compared && h('small', { class: 'below' }, text);
}

function wins(pairing) {
  const parts = [['faster', pairing.wins], ['equal', pairing.ties], ['slower', pairing.losses]];
  const share = (count) => `${(100 * count) / Math.max(1, pairing.compared)}%`;
  const part = ([what, count]) => h('span', { class: what, style: `width: ${share(count)}` });
  return [
    h('div', {}, filterLink(pairing.wins, 'faster', 'faster', pairing.pipeline), `, ${number(pairing.ties)} equal, `,
      filterLink(pairing.losses, 'slower', 'slower', pairing.pipeline)),
    h('div', { class: 'shares', 'aria-hidden': 'true' }, parts.map(part)),
  ];
}

/** A number that shows the kernels behind it. */
function filterLink(count, what, filter, pipeline) {
  const text = `${number(count)}${what && ' ' + what}`;
  const click = () => {
    choose(filter, pipeline);
    byId('filters').scrollIntoView();
    byId('filters').querySelector('input:checked').focus({ preventScroll: true });
  };
  return count ? h('button', { type: 'button', class: 'link', title: 'show these kernels', click }, text) : text;
}

/** Whether the order of two pipelines rests on figures that are not well known. */
function ranking(pairing) {
  if (!pairing.sensitivity.length) return null;
  const line = (s) => h('li', {}, h('code', {}, s.figure), ` (${s.confidence}) ${s.factor < 1 ? 'halved' : 'doubled'}: `,
    `${plural(s.flips, 'kernel')} the other way round, geometric mean ${s.geomean.toFixed(4)}`,
    s.reverses && h('strong', { class: 'bad' }, ' ▲ and the mean turns round'));
  return h('details', { class: 'notice', open: pairing.sensitivity.some((s) => s.reverses) },
    h('summary', {}, `▲ ${pipelines[pairing.pipeline].name}: the ranking hinges on ${plural(pairing.sensitivity.length, 'uncertain cost figure')}`),
    h('ul', {}, pairing.sensitivity.map(line)));
}

function filters() {
  const option = ([id, title]) => h('label', { class: 'pill' },
    h('input', { type: 'radio', name: 'change', value: id, checked: id === 'all', change: () => choose(id, list.pipeline) }),
    title, h('span', { class: 'count', 'data-count': id }));
  const pipeline = h('label', {}, 'Pipeline ', h('select', { id: 'pipeline', change: (event) => choose(list.filter, event.target.value) }));
  const search = h('label', {}, 'Search ', h('input', {
    type: 'search', id: 'search', placeholder: 'kernel, file, rule …  ( / )', autocomplete: 'off', spellcheck: 'false',
    input: (event) => { list.text = event.target.value; refresh(); },
    keydown: (event) => { if (event.key === 'Enter' || event.key === 'ArrowDown') { event.preventDefault(); focusLine(0); } },
  }));
  byId('filters').append(search, pipelines.length > 2 ? pipeline : '',
    h('fieldset', {}, h('legend', {}, 'Show'), FILTERS.map(option)));
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  pipelineOptions();
}

/** The pipelines that the table can be filtered by. */
function pipelineOptions() {
  byId('pipeline')?.replaceChildren(h('option', { value: 'all' }, 'all'),
    ...others().map((index) => h('option', { value: index, selected: list.pipeline === String(index) }, pipelines[index].name)));
}

function choose(filter, pipeline) {
  list.filter = filter;
  list.pipeline = String(pipeline);
  byId('filters').querySelector(`input[value=${filter}]`).checked = true;
  if (byId('pipeline')) byId('pipeline').value = list.pipeline;
  refresh();
}

function clearSearch() {
  byId('search').value = list.text = '';
  refresh();
}

/** By how much a row matters: what got a worse verdict, a better one, a different end, the greatest ratios, the rest. */
function byImportance(a, b) {
  const group = (row) => (row.change > 0 ? 0 : row.change < 0 ? 1 : row.oneSided ? 2 : row.cycles !== 0 ? 3 : 4);
  return group(a) - group(b) || b.oneSided - a.oneSided || (b.ratio ?? 0) - (a.ratio ?? 0) || a.kernel - b.kernel || a.pipeline - b.pipeline;
}

function byColumn({ value }, falling) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    // What has no figure comes last, whichever way the others go.
    if (x === null || y === null) return (x === null) - (y === null) || byImportance(a, b);
    const order = x < y ? -1 : x > y ? 1 : 0;
    return (falling ? -order : order) || byImportance(a, b);
  };
}

function table() {
  const button = (column) => h('th', { scope: 'col', 'data-column': column.id, class: WORDS.includes(column.id) ? '' : 'figure' },
    h('button', { type: 'button', title: column.hint, click: () => sortBy(column) }, column.title, h('span', { class: 'arrow', 'aria-hidden': 'true' })));
  const head = byId('kernels').tHead;
  head.append(h('tr', {}, COLUMNS.map(button)));
  const body = byId('kernels').tBodies[0];
  body.addEventListener('keydown', onTableKey);
  body.addEventListener('click', (event) => {
    // The link does it by itself, and text can be marked.
    if (event.target.closest('a') || !getSelection().isCollapsed) return;
    event.target.closest('tr')?.querySelector('a')?.click();
  });
  const more = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) draw(list.drawn + CHUNK); },
    { rootMargin: '600px' });
  more.observe(byId('kernels-help'));
  list.all = makeRows();
  refresh();
}

function sortBy(column) {
  // Figures start with the greatest, words with the first.
  const start = column.falling ?? !WORDS.includes(column.id);
  if (list.sort !== column) [list.sort, list.falling] = [column, start];
  else if (list.falling === start) list.falling = !start;
  else list.sort = null;
  refresh();
}

/** Chooses and orders the rows anew. */
function refresh() {
  const words = list.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = list.all.filter((row) => (list.pipeline === 'all' || row.pipeline === Number(list.pipeline)) &&
    words.every((word) => row.words.includes(word)));
  for (const [id, , fits] of FILTERS) byId('filters').querySelector(`[data-count=${id}]`).textContent = number(found.filter(fits).length);
  list.rows = found.filter(FILTERS.find(([id]) => id === list.filter)[2]);
  list.rows.sort(list.sort ? byColumn(list.sort, list.falling) : byImportance);
  for (const th of byId('kernels').tHead.querySelectorAll('th')) {
    const sorted = th.dataset.column === list.sort?.id && (list.falling ? 'descending' : 'ascending');
    if (sorted) th.setAttribute('aria-sort', sorted);
    else th.removeAttribute('aria-sort');
    th.querySelector('.arrow').textContent = sorted ? (list.falling ? ' ▼' : ' ▲') : '';
  }
  const order = list.sort ? `by ${list.sort.title.toLowerCase()}, ${list.falling ? 'falling' : 'rising'}` : 'by importance';
  byId('shown').textContent = `${number(list.rows.length)} of ${plural(list.all.length, 'line')}, ${order}`;
  byId('kernels').setAttribute('aria-rowcount', list.rows.length + 1);
  byId('kernels').tBodies[0].replaceChildren();
  list.drawn = 0;
  draw(CHUNK);
}

/** Puts so many rows into the document. */
function draw(count) {
  const lines = list.rows.slice(list.drawn, count).map((row, index) => line(row, list.drawn + index));
  const body = byId('kernels').tBodies[0];
  body.append(...lines);
  list.drawn += lines.length;
  if (!list.rows.length) body.append(h('tr', {}, h('td', { colspan: COLUMNS.length, class: 'quiet' }, 'No kernel fits.')));
}

function line(row, index) {
  const cell = (column) => {
    const content = column.cell ? column.cell(row, index) : pairOfFigures(row, column);
    return h('td', { class: WORDS.includes(column.id) ? column.id : 'figure' }, content);
  };
  return h('tr', { 'aria-rowindex': index + 2 }, COLUMNS.map(cell));
}

function nameCell(row, index) {
  const { file, function: name } = kernels[row.kernel];
  return h('a', { href: address(row.kernel, row.pipeline), tabindex: index === 0 ? 0 : -1, title: keys[row.kernel] },
    name || lastOf(file), ' ', h('small', {}, name ? lastOf(file) : ''));
}

function verdictCell(row) {
  if (row.change === 0) return verdictBadge(verdictOf(row.figures));
  return [verdictBadge(verdictOf(row.first)), ' → ', verdictBadge(verdictOf(row.figures)),
    h('span', { class: row.change > 0 ? 'bad' : 'good' }, row.change > 0 ? ' worse' : ' better')];
}

function ratioCell(row) {
  return h('span', { class: ratioClass(row.ratio) }, ratioText(row.ratio));
}

function pairOfFigures(row, { id }) {
  const [first, figure] = [row.first?.[id] ?? null, row.figures?.[id] ?? null];
  if (first === figure) return number(figure);
  return [h('span', { class: 'quiet' }, number(first), ' → '), number(figure)];
}

const lines = () => byId('kernels').tBodies[0].rows;

/** Moves the focus to a line of the table; only that one is on the way of the tab key. */
function focusLine(index) {
  const wanted = Math.max(0, Math.min(index, list.rows.length - 1));
  if (wanted >= list.drawn) draw(wanted + CHUNK);
  const link = lines()[wanted]?.querySelector('a');
  if (!link) return;
  byId('kernels').tBodies[0].querySelector('a[tabindex="0"]')?.setAttribute('tabindex', -1);
  link.setAttribute('tabindex', 0);
  link.focus();
}

function onTableKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const at = event.target.closest('tr')?.sectionRowIndex;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, j: at + 1, k: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: Infinity }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  focusLine(to);
}

const place = (kernel, pipeline) => list.rows.findIndex((row) => row.kernel === kernel && row.pipeline === pipeline);

function focusRow(kernel, pipeline) {
  const index = place(kernel, pipeline);
  if (index >= 0) focusLine(index);
}

/** The row of another kernel that many further, by default from before the first. */
function neighbour(kernel, pipeline, by) {
  const at = place(kernel, pipeline);
  return list.rows[at < 0 && by < 0 ? list.rows.length - 1 : at + by];
}
