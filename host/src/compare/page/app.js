// The page as a whole: what it shows for an address, keys that work everywhere, and how elements are made.

const report = JSON.parse(document.getElementById('report').textContent);
const kernels = report.kernels;
const pipelines = report.pipelines;

// From best to worst; a sign beside the word, so that nothing rests on colour.
const VERDICTS = ['proved', 'assumed', 'sampled', 'warnings', 'errors', 'failed'];
const SIGNS = { proved: '✓', assumed: '✓', sampled: '≈', warnings: '▲', errors: '✕', failed: '∅' };

const byId = (id) => document.getElementById(id);

/** An element. Attributes that are functions are listeners; children are elements, texts or nothing. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const grouped = new Intl.NumberFormat('en-US');
const number = (value) => (value === null || value === undefined ? '–' : grouped.format(value));
const plural = (count, what) => `${number(count)} ${what}${count === 1 ? '' : 's'}`;

/** A ratio with its direction: below 1 is faster. */
function ratioText(ratio) {
  if (ratio === null) return '–';
  const arrow = ratio < 1 ? '▼' : ratio > 1 ? '▲' : '=';
  // What is nearly 1 shows that it is not.
  const short = ratio.toFixed(4);
  return `${ratio !== 1 && short === '1.0000' ? ratio.toFixed(7) : short} ${arrow}`;
}
const ratioClass = (ratio) => (ratio === null || ratio === 1 ? '' : ratio < 1 ? 'good' : 'bad');

function verdictBadge(verdict) {
  return h('span', { class: `verdict ${verdict}` }, h('span', { 'aria-hidden': 'true' }, SIGNS[verdict]), ` ${verdict}`);
}

const verdictOf = (figures) => (figures ? figures.verdict : 'failed');
const rankOf = (figures) => VERDICTS.indexOf(verdictOf(figures));

// Addresses name a kernel, not its place, so that they hold for a later report over the same files. Functions of one
// name in one file are numbered.
const keys = [];
const indexOfKey = new Map();
for (const [index, kernel] of kernels.entries()) {
  const plain = `${kernel.file}:${kernel.function}`;
  let key = plain;
  for (let n = 2; indexOfKey.has(key); n++) key = `${plain}~${n}`;
  keys.push(key);
  indexOfKey.set(key, index);
}

// The pipeline that the others are measured against.
let base = 0;

function address(kernel, pipeline, against = base) {
  const parameters = new URLSearchParams({ kernel: keys[kernel], with: pipelines[pipeline].name });
  return '#' + withBase(parameters, against);
}

/** The address of the table. */
const listAddress = (against = base) => '#' + withBase(new URLSearchParams(), against);

/** Adds the base to an address, unless it is the first pipeline. */
function withBase(parameters, against) {
  if (against !== 0) parameters.set('against', pipelines[against].name);
  return parameters;
}

/** What the address asks for: a base, and a kernel with a pipeline or nothing. */
function asked() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const named = (name) => pipelines.findIndex((p) => p.name === parameters.get(name));
  const against = Math.max(0, named('against'));
  const kernel = indexOfKey.get(parameters.get('kernel'));
  if (kernel === undefined) return { against, view: null };
  const pipeline = named('with');
  const other = pipelines.findIndex((_, index) => index !== against);
  return { against, view: { kernel, pipeline: pipeline < 0 ? Math.max(0, other) : pipeline } };
}

let current = null;
let listScroll = 0;

function show() {
  const { against, view: next } = asked();
  if (against !== base) {
    base = against;
    measure();
  }
  if (!current && next) listScroll = window.scrollY;
  const left = current;
  current = next;
  hideTip();
  byId('list').hidden = next !== null;
  byId('kernel').hidden = next === null;
  if (next) {
    const chose = document.activeElement?.matches('#kernel select') && document.activeElement.id;
    showKernel(next.kernel, next.pipeline);
    document.title = `${kernels[next.kernel].function || keys[next.kernel]} – Pipewright comparison`;
    // Another kernel is shown from its top; another pipeline of the same one where it was.
    if (left?.kernel !== next.kernel) window.scrollTo(0, 0);
    (chose ? byId(chose) : byId('kernel').querySelector('h2')).focus({ preventScroll: true });
  } else {
    byId('kernel').replaceChildren();
    document.title = 'Pipewright comparison';
    window.scrollTo(0, listScroll);
    if (left) focusRow(left.kernel, left.pipeline);
  }
}

const KEYS = [
  ['Everywhere', [
    ['?', 'show these keys'],
    ['Tab, Shift Tab', 'next, previous control'],
    ['Esc', 'close these keys; from a kernel back to the table'],
    ['/', 'search the table'],
  ]],
  ['Table', [
    ['↓ ↑, j k', 'next, previous kernel'],
    ['PgDn PgUp, Home End', 'ten further, ten back, first, last'],
    ['Enter', 'open the kernel'],
  ]],
  ['Kernel', [
    ['n, p', 'next, previous line of the table'],
    ['1 … 6', 'figures, findings, timelines, divergence, skeleton, ranking'],
  ]],
  ['Timeline', [
    ['→ ←', 'next, previous span of the pipe'],
    ['↓ ↑', 'next, previous pipe at that time'],
    ['Enter', 'follow the token: from a wait to its set, from a set to its wait'],
    ['+ −, w s', 'zoom in, out'],
    ['Shift → ←, d a', 'move the window later, earlier'],
    ['0', 'all of it'],
    ['f', 'where the two first differ'],
    ['Ctrl wheel, Shift wheel, drag', 'zoom, move, move'],
  ]],
];

function showKeys() {
  const dialog = byId('keys');
  const table = ([title, rows]) => [
    h('h3', {}, title),
    h('dl', {}, rows.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)]).flat()),
  ];
  dialog.replaceChildren(
    h('h2', { id: 'keys-title' }, 'Keys'),
    h('div', { class: 'columns' }, KEYS.map((group) => h('div', {}, table(group)))),
    h('button', { type: 'button', click: () => dialog.close(), autofocus: true }, 'Close'),
  );
  dialog.showModal();
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || byId('keys').open) return;
  const typing = event.target.closest?.('input[type=search], select');
  if (typing && event.key !== 'Escape') return;
  const section = current && /^[1-6]$/.test(event.key) && byId('kernel').querySelectorAll('section')[event.key - 1];
  if (event.key === '?') showKeys();
  else if (event.key === 'Escape' && current) location.hash = listAddress();
  else if (event.key === 'Escape' && typing) clearSearch();
  else if (event.key === '/' && !current) byId('search').focus();
  else if (current && event.key === 'n') step(1);
  else if (current && event.key === 'p') step(-1);
  else if (section) {
    section.querySelector('h3').focus({ preventScroll: true });
    section.scrollIntoView();
  } else return;
  event.preventDefault();
}

/** To the kernel that many further in the order of the table. */
function step(by) {
  const row = neighbour(current.kernel, current.pipeline, by);
  if (row) location.hash = address(row.kernel, row.pipeline);
}

function start() {
  base = asked().against;
  about();
  totals();
  filters();
  table();
  byId('show-keys').addEventListener('click', showKeys);
  document.addEventListener('keydown', onKey);
  window.addEventListener('hashchange', show);
  if (asked().view === null) return;
  // The data of kernels follows this script; the one that is asked for may not be there yet.
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', show);
  else show();
}
