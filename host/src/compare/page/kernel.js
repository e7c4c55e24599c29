// One kernel: its figures, findings, timelines, and how the plans of two pipelines differ.

/** What the page knows of a kernel beyond the table. Repeated texts are numbers of `strings`. */
function detailOf(kernel) {
  return JSON.parse(byId(`kernel-${kernel}`).textContent);
}

function showKernel(kernel, pipeline) {
  const detail = detailOf(kernel);
  const { file, function: name } = kernels[kernel];
  const sides = pipeline === base ? [base] : [base, pipeline];
  const parts = [
    ['Figures', () => figures(detail, pipeline)],
    ['Findings', () => findings(detail, sides)],
    ['Timelines', (host) => timelines(host, detail, sides)],
    ['First divergence', () => divergence(detail, pipeline)],
    ['Skeleton', () => skeleton(detail, pipeline)],
    ['Ranking', () => hinges(detail, pipeline)],
  ];
  const section = ([title, content]) => {
    const host = h('section', {}, h('h3', { tabindex: -1 }, title));
    return { host, content };
  };
  const sections = parts.map(section);
  byId('kernel').replaceChildren(
    h('nav', { class: 'kernel', 'aria-label': 'Kernels' },
      h('a', { href: listAddress() }, '← All kernels'),
      stepLink(kernel, pipeline, -1, 'Previous'), stepLink(kernel, pipeline, 1, 'Next'),
      pipelines.length > 2 && chooser('other', '', pipeline, (index) => address(kernel, index, index === base ? pipeline : base)),
      pipelines.length > 2 && chooser('against', 'against ', base, (index) => address(kernel, index === pipeline ? base : pipeline, index))),
    h('h2', { tabindex: -1 }, name || shortFile(file), ' ', h('small', {}, file)),
    ...sections.map(({ host }) => host));
  // Canvases measure themselves, so contents are made when their place is in the document.
  for (const { host, content } of sections) host.append(...[content(host) ?? []].flat().filter(Boolean));
}

/** A list of pipelines; choosing one goes to its address. The one that is on the other side takes its place. */
function chooser(id, title, chosen, addressOf) {
  return h('label', {}, title, h('select', {
    id, 'aria-label': id === 'other' ? 'pipeline' : 'measured against',
    change: (event) => { location.hash = addressOf(Number(event.target.value)); },
  }, pipelines.map((p, index) => h('option', { value: index, selected: index === chosen }, p.name))));
}

function stepLink(kernel, pipeline, by, title) {
  const row = neighbour(kernel, pipeline, by);
  return row && h('a', { href: address(row.kernel, row.pipeline), title: keys[row.kernel] }, title);
}

const pairs = (map) => Object.entries(map).map(([name, n]) => `${name} ${n}`).join(', ') || '0';
const sum = (map) => Object.values(map).reduce((total, n) => total + n, 0);
const most = (map) => Math.max(0, ...Object.values(map));

const FIGURES = [
  ['Cycles', (m) => m.cycles, number],
  ['Sets', (m) => m.sets],
  ['Waits', (m) => m.waits],
  ['Barriers', (m) => sum(m.barriers), (_, m) => pairs(m.barriers)],
  ['PIPE_ALL', (m) => m.pipe_all, (n, m) => (m.demoted ? `${n}, ${m.demoted} of them demoted` : `${n}`)],
  ['Peak ids', (m) => most(m.peak_ids), (_, m) => pairs(m.peak_ids)],
  ['Output', (m) => m.output_bytes, (n) => plural(n, 'byte')],
];

function figures(detail, pipeline) {
  const results = detail.results;
  const first = results[base].metrics;
  const cell = (value, text) => (result) => {
    const m = result.metrics;
    if (!m) return h('td', {}, '–');
    const [own, base] = [value(m), first ? value(first) : null];
    const shown = own === null ? '–' : text ? text(own, m) : number(own);
    const delta = own === null || base === null ? 0 : own - base;
    const sign = delta > 0 ? '▲ +' : '▼ −';
    return h('td', {}, shown, delta !== 0 && h('span', { class: delta > 0 ? 'bad' : 'good' }, ` ${sign}${number(Math.abs(delta))}`));
  };
  const row = ([title, value, text]) => h('tr', {}, h('th', { scope: 'row' }, title), results.map(cell(value, text)));
  const ratio = (result, index) => {
    const value = index !== base && first?.cycles && result.metrics ? result.metrics.cycles / first.cycles : null;
    const known = result.metrics?.cycles ?? null;
    if (index === base) return h('td', { class: 'quiet' }, '1');
    return h('td', { class: known === null ? '' : ratioClass(value) }, known === null ? '–' : ratioText(value));
  };
  const time = (result) => result.metrics && result.metrics.passes.reduce((total, [, us]) => total + us, 0);
  const passes = (result) => h('td', {}, result.metrics ? h('details', {}, h('summary', {}, `${(time(result) / 1000).toFixed(1)} ms`),
    h('ul', {}, result.metrics.passes.map(([pass, us]) => h('li', {}, `${pass} ${(us / 1000).toFixed(2)} ms`)))) : '–');
  const notes = [...new Set(results.flatMap((result) => result.notes ?? []))];
  return [
    h('div', { class: 'wide' }, h('table', { class: 'figures' },
      h('thead', {}, h('tr', {}, h('td', {}), pipelines.map((p, index) => h('th', { scope: 'col', 'aria-current': index === pipeline ? 'true' : null }, p.name, index === base && pipelines.length > 1 && h('small', {}, ' base'))))),
      h('tbody', {},
        h('tr', {}, h('th', { scope: 'row' }, 'Verdict'), results.map((result) => h('td', {}, verdictBadge(result.verdict ?? 'failed')))),
        FIGURES.slice(0, 1).map(row),
        pipelines.length > 1 && h('tr', {}, h('th', { scope: 'row' }, 'Ratio'), results.map(ratio)),
        FIGURES.slice(1).map(row),
        h('tr', {}, h('th', { scope: 'row' }, 'Compile time'), results.map(passes))))),
    notes.length > 0 && h('p', { class: 'quiet' }, `The simulation: ${notes.join('; ')}.`),
  ];
}

const sameFinding = (a, b) => a.rule === b.rule && a.message === b.message && a.lines.join() === b.lines.join();
const rank = (finding) => Object.keys(GRADES).indexOf(finding.grade);
const GRADES = { error: '✕', warning: '▲', advice: 'ⓘ' };

function findings(detail, sides) {
  const side = (index, other) => {
    const result = detail.results[index];
    const parts = [];
    if (!result.metrics) parts.push(h('p', { class: 'bad' }, '∅ It was not compiled:'), h('pre', { tabindex: 0 }, result.diagnostic));
    if (result.deadlock?.length) {
      parts.push(h('p', { class: 'bad' }, '✕ The simulation hangs at:'), h('ul', {}, result.deadlock.map((text) => h('li', {}, h('code', {}, text)))));
    }
    const known = other === undefined ? null : detail.results[other].findings ?? [];
    const worstFirst = [...(result.findings ?? [])].sort((a, b) => rank(a) - rank(b));
    for (const finding of worstFirst) {
      const own = known && !known.some((f) => sameFinding(f, finding));
      parts.push(h('details', { class: `finding ${finding.grade}` },
        h('summary', {}, h('span', { class: 'grade' }, `${GRADES[finding.grade] ?? ''} ${finding.grade} `), h('code', {}, finding.rule),
          ` ${finding.message}`, finding.lines.length > 0 && [' ', h('span', { class: 'quiet place' }, `line ${[...new Set(finding.lines)].join(', ')}`)],
          own && h('span', { class: 'only' }, 'only here')),
        h('pre', { tabindex: 0 }, finding.witness)));
    }
    const more = Object.entries(result.more_findings ?? {});
    if (more.length) parts.push(h('p', {}, `Not looked into: ${more.map(([rule, n]) => `${n} of ${rule}`).join(', ')}`));
    if (!parts.length) parts.push(h('p', {}, '✓ None.'));
    return h('div', {}, h('h4', {}, pipelines[index].name), parts);
  };
  return h('div', { class: 'sides' }, sides.map((index, i) => side(index, sides[1 - i])));
}

const KINDS = { '+': 'added', '-': 'removed', '@': 'hunk' };

/** The first pass after which plans differ. That is known against the first pipeline; two others are both shown. */
function divergence(detail, pipeline) {
  if (pipeline === base) return h('p', {}, 'There is nothing to compare with.');
  const sides = [base, pipeline];
  if (sides.some((index) => !detail.results[index].metrics)) return h('p', {}, 'There are no two plans to compare.');
  const same = detail.results[base].skeleton === detail.results[pipeline].skeleton;
  if (same) return h('p', {}, '= Both have the same skeleton.');
  const parts = sides.filter((index) => index !== 0).flatMap((index) => fromFirst(detail, index));
  const note = sides.includes(0) ? [] : [h('p', { class: 'quiet' }, `What sets the two apart, each beside ${pipelines[0].name}, the first pipeline:`)];
  return [...note, ...parts];
}

/** Where a pipeline goes apart from the first one. */
function fromFirst(detail, pipeline) {
  const found = detail.divergences.find((d) => d.pipeline === pipeline);
  if (!found) return [h('p', {}, `= ${pipelines[pipeline].name}: the plans are the same after every pass.`)];
  const line = (text) => h('span', { class: KINDS[text[0]] ?? '' }, `${text}\n`);
  return [
    h('p', {}, 'The plans differ for the first time after ', h('code', {}, found.pass), `: − ${pipelines[0].name}, + ${pipelines[pipeline].name}`),
    h('pre', { class: 'diff', tabindex: 0 }, found.diff.map(line)),
  ];
}

/** How the skeletons of two pipelines differ: stretches, equal and different ones in turn. */
function stretches(detail, from, to) {
  const [a, b] = [from, to].map((index) => detail.results[index].skeleton);
  const length = detail.skeletons[a].length;
  if (a === b) return [[0, length, 0, length]];
  const [, , found] = detail.diffs.find(([x, y]) => x === Math.min(a, b) && y === Math.max(a, b));
  return a < b ? found : found.map(([i, count, j, added]) => [j, added, i, count]);
}

/** Both skeletons beside each other, equal stretches folded. */
function skeleton(detail, pipeline) {
  const texts = (index) => (detail.skeletons[detail.results[index].skeleton] ?? []).map((n) => detail.strings[n]);
  const [left, right] = [texts(base), texts(pipeline)];
  const half = (mark, number, text, kind) => [
    h('td', { class: `number ${kind}` }, number ?? ''),
    h('td', { class: kind }, h('span', { class: 'mark' }, mark), text ?? ''),
  ];
  const alone = [base, pipeline].filter((index) => detail.results[index].metrics);
  if (pipeline === base || alone.length < 2) {
    return h('pre', { tabindex: 0 }, alone.length ? texts(alone[0]).join('\n') : 'There is none.');
  }
  const body = h('tbody', {});
  const equal = (i, j, count) => Array.from({ length: count }, (_, n) =>
    h('tr', {}, half(' ', i + n + 1, left[i + n], ''), half(' ', j + n + 1, right[j + n], '')));
  const AROUND = 3;
  const ops = stretches(detail, base, pipeline);
  for (const [at, [i, count, j, added]] of ops.entries()) {
    if (at % 2 === 0) {
      const [before, after] = [at === 0 ? 0 : AROUND, at === ops.length - 1 ? 0 : AROUND];
      const folded = count - before - after;
      if (folded < 3) {
        body.append(...equal(i, j, count));
        continue;
      }
      body.append(...equal(i, j, before));
      const unfold = h('button', { type: 'button', class: 'link', click: (event) => event.target.closest('tr').replaceWith(...equal(i + before, j + before, folded)) },
        `⋯ ${plural(folded, 'equal line')}`);
      body.append(h('tr', { class: 'folded' }, h('td', { colspan: 4 }, unfold)), ...equal(i + count - after, j + count - after, after));
      continue;
    }
    for (let n = 0; n < Math.max(count, added); n++) {
      body.append(h('tr', {},
        n < count ? half('−', i + n + 1, left[i + n], 'removed') : half('', null, null, 'none'),
        n < added ? half('+', j + n + 1, right[j + n], 'added') : half('', null, null, 'none')));
    }
  }
  const caption = ops.length < 2 ? '= Both have the same skeleton.' : 'Synchronization in program order. Lines with − are only on the left, with + only on the right.';
  return [
    h('p', {}, caption),
    h('div', { class: 'wide' }, h('table', { class: 'skeleton' },
      h('colgroup', {}, ['number', '', 'number', ''].map((kind) => h('col', { class: kind }))),
      h('thead', {}, h('tr', {}, [base, pipeline].map((index) => h('th', { colspan: 2, scope: 'col' }, pipelines[index].name)))), body)),
  ];
}

function hinges(detail, pipeline) {
  const own = detail.hinges.filter((hinge) => hinge.base === base && hinge.pipeline === pipeline);
  if (!own.length) return h('p', {}, 'The order of the two is the same with every uncertain cost figure halved or doubled.');
  return [
    h('p', {}, '▲ Which of the two is faster hinges on cost figures that are not well known:'),
    h('ul', {}, own.map((hinge) => h('li', {}, h('code', {}, hinge.figure),
      ` (${hinge.confidence}) ${hinge.factor < 1 ? 'halved' : 'doubled'}: ratio ${hinge.changed_ratio.toFixed(4)} instead of ${hinge.ratio.toFixed(4)}`))),
  ];
}
