//! The page of a comparison, in a browser: it sorts, opens kernels, draws timelines, is used by keys, holds no surprise.
//!
//! Pictures of it are kept in the temporary directory of the build's target directory.

mod browser;
mod sample;

use std::path::{Path, PathBuf};

use browser::{Browser, start};
use pipewright::compare::html::page;
use pipewright::compare::model::{Outcome, Report};
use pipewright::compare::summary::pairings;
use pipewright_tests::pipewright;
use pipewright_tests::sandbox::{KERNEL, Sandbox};

/// The page over the examples under three pipelines, and the report that it shows.
fn examples(name: &str) -> (PathBuf, Report) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (html, json) = (directory.join(format!("{name}.html")), directory.join(format!("{name}.json")));
    let three = ["a3-reference", "a3-reference-push-back", "a3-codegen-only"];
    let run = pipewright()
        .args(["compare", "examples", "--timelines"])
        .args(three.iter().flat_map(|pipeline| ["--pipeline", pipeline]))
        .arg("--html")
        .arg(&html)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the command runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let json = std::fs::read_to_string(json).expect("the report is there");
    (html, Report::from_json(&json).expect("a report"))
}

fn write(name: &str, report: &Report) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, page(report)).expect("the page can be written");
    file
}

/// The texts of a column of the table, from top to bottom.
fn column(browser: &mut Browser, nth: usize) -> Vec<String> {
    let cells = format!("[...document.querySelectorAll('#kernels tbody td:nth-child({nth})')]");
    let texts = browser.value(&format!("{cells}.map(cell => cell.textContent)"));
    texts.as_array().expect("a list").iter().map(|t| t.as_str().unwrap_or_default().to_owned()).collect()
}

/// The last figure in each cell of a column; none where there is no figure.
fn figures(browser: &mut Browser, nth: usize) -> Vec<Option<u64>> {
    let last = |text: &String| text.split(" → ").last().and_then(|n| n.replace(',', "").parse().ok());
    column(browser, nth).iter().map(last).collect()
}

const FOCUS: &str = "document.activeElement.textContent";
const CHART: &str = "document.querySelector('section > canvas')";
/// The number of colours on the first chart.
const COLOURS: &str = "(c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height) \
                       .data.buffer)).size)(document.querySelector('section > canvas'))";

#[test]
#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]
fn the_table_is_sorted_filtered_and_used_by_keys() {
    let mut browser = start();
    let (html, report) = examples("report-table");
    browser.open(&html);

    // The kernel whose verdict gets worse comes first.
    let names = column(&mut browser, 1);
    assert_eq!(names.len(), report.kernels.len() * 2);
    assert!(report.pairings[0].verdict_worse.len() == 1, "{:?}", report.pairings[0]);
    let verdicts = column(&mut browser, 3);
    let worse = verdicts.iter().filter(|v| v.contains("worse")).count();
    assert!(worse > 0 && verdicts[..worse].iter().all(|v| v.contains("worse")), "{verdicts:?}");

    // A header sorts, the other way round, and back.
    let cycles = "document.querySelector('#kernels th[data-column=cycles] button')";
    let sort = "document.querySelector('#kernels th[data-column=cycles]').getAttribute('aria-sort')";
    browser.click(cycles);
    let falling: Vec<u64> = figures(&mut browser, 4).into_iter().flatten().collect();
    assert!(falling.len() > 20 && falling.is_sorted_by(|a, b| a >= b), "{falling:?}");
    assert_eq!(browser.text(sort), "descending");
    browser.click(cycles);
    let rising = figures(&mut browser, 4);
    let known = rising.iter().flatten().count();
    assert!(rising[..known].iter().all(Option::is_some) && rising[..known].is_sorted(), "{rising:?}");
    assert_eq!(browser.text(sort), "ascending");
    browser.click(cycles);
    assert_eq!((column(&mut browser, 1), browser.text(sort)), (names.clone(), "null".into()));

    // A filter, a search, what they leave.
    browser.click("document.querySelector('input[value=worse]')");
    assert_eq!(column(&mut browser, 3), verdicts[..worse]);
    browser.click("document.querySelector('input[value=all]')");
    browser.key("/");
    "two_phases".chars().for_each(|c| browser.key(&c.to_string()));
    let found = column(&mut browser, 1);
    assert!(!found.is_empty() && found.iter().all(|name| name.contains("two_phases")), "{found:?}");
    browser.key("Escape");
    assert_eq!(column(&mut browser, 1), names);

    // From the search into the table, through it, into a kernel and back to the same line.
    browser.key("ArrowDown");
    assert_eq!(browser.text(FOCUS), names[0]);
    browser.key("ArrowDown");
    browser.key("j");
    browser.key("k");
    assert_eq!(browser.text(FOCUS), names[1]);
    browser.key("End");
    assert_eq!(Some(&browser.text(FOCUS)), names.last());
    browser.key("Home");
    assert_eq!(browser.text("getComputedStyle(document.activeElement).outlineStyle"), "solid");
    browser.key("Enter");
    let title = browser.text("document.querySelector('#kernel h2').textContent");
    let function = names[0].split(' ').next().unwrap_or_default();
    assert!(title.starts_with(function), "{title}");
    assert_eq!(browser.text("document.getElementById('list').hidden"), "true");
    browser.key("n");
    assert!(!browser.text(FOCUS).is_empty());
    browser.key("p");
    assert_eq!(browser.text(FOCUS), title);
    browser.key("Escape");
    assert_eq!(
        (browser.text("document.getElementById('list').hidden"), browser.text(FOCUS)),
        ("false".into(), names[0].clone())
    );
    browser.value("new Promise(done => { addEventListener('popstate', done, { once: true }); history.back(); }).then(() => 0)");
    assert_eq!(browser.text("document.getElementById('kernel').hidden"), "false");
    browser.value("new Promise(done => { addEventListener('popstate', done, { once: true }); history.forward(); }).then(() => 0)");
    assert_eq!(browser.text("document.getElementById('kernel').hidden"), "true");

    // Only one line of the table is on the way of the tab key.
    assert_eq!(browser.text("document.querySelectorAll('#kernels tbody a[tabindex=\"0\"]').length"), "1");
    browser.key("Tab");
    assert_eq!(browser.text("document.activeElement.closest('table') === null"), "true");

    browser.key("?");
    assert_eq!(browser.text("document.getElementById('keys').open"), "true");
    browser.key("Escape");
    assert_eq!(browser.text("document.getElementById('keys').open"), "false");

    // A number of the totals shows the kernels behind it.
    browser
        .click("[...document.querySelectorAll('#totals button')].find(b => b.textContent.includes('worse'))");
    assert_eq!(column(&mut browser, 3).iter().filter(|v| !v.contains("worse")).count(), 0);

    browser.value("choose('all', 'all')");
    browser.value("scrollTo(0, 0)");
    let light = browser.picture("report-table-light.png");
    browser.look(1400, 1000, "dark");
    assert!(light != browser.picture("report-table-dark.png"));
    assert_eq!(browser.text("document.documentElement.scrollWidth > innerWidth"), "false");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]
fn timelines_are_drawn_and_walked_through() {
    let mut browser = start();
    let (html, report) = examples("report-timelines");
    browser.open(&html);
    let worse = report.pairings[0].verdict_worse[0];
    browser.value(&format!("void (location.hash = address({worse}, 1))"));
    assert_eq!(browser.text("document.querySelectorAll('section > canvas').length"), "2");
    let colours = browser.value(COLOURS).as_u64().unwrap_or(0);
    assert!(colours > 10, "{colours} colours");

    // What is under the mouse is said, with its line.
    let chart =
        report.kernels[worse].results[0].compiled().and_then(|c| c.timeline.as_ref()).expect("a timeline");
    browser.value(&format!("{CHART}.scrollIntoView({{ block: 'center' }})"));
    let widest = chart.lanes[1].spans.iter().max_by_key(|s| s.length).expect("a span");
    let middle = (widest.start + widest.length / 2) as f64;
    // The second lane is 24 + 22 + 18 pixels down, its middle 20 more; the time begins at pixel 60.
    let width = browser.value(&format!("{CHART}.clientWidth")).as_f64().expect("a width") - 62.0;
    let shown = |outcome: &Outcome| outcome.compiled().and_then(|c| c.timeline.as_ref()).map(|t| t.shown);
    let longest = report.kernels[worse].results[..2].iter().filter_map(shown).max().expect("a timeline");
    browser.point(CHART, 60.0 + middle * width / longest as f64, 84.0);
    let tip = browser
        .text("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent");
    let statement = &chart.statements[widest.statement];
    assert!(tip.contains(&statement.text) && tip.contains(&format!("line {}", statement.line)), "{tip}");

    // Arrow keys go from span to span, Enter to the other end of a token.
    browser.value(&format!("{CHART}.focus()"));
    let said = "document.querySelector('.said').textContent";
    browser.key("ArrowRight");
    let first = browser.text(said);
    browser.key("ArrowRight");
    let second = browser.text(said);
    browser.key("ArrowDown");
    let other = browser.text(said);
    assert!(first != second && second != other, "{first} | {second} | {other}");
    for _ in 0..40 {
        if browser.text(said).contains("token from") {
            break;
        }
        browser.key("ArrowRight");
    }
    let wait = browser.text(said);
    assert!(wait.starts_with("wait ") && wait.contains("token from"), "{wait}");
    browser.key("Enter");
    let set = browser.text(said);
    assert!(set.starts_with("set ") && set.contains("token for"), "{set}");

    // Zooming and moving change what is drawn.
    let drawn = format!("{CHART}.toDataURL()");
    let all = browser.text(&drawn);
    browser.key("+");
    browser.key("w");
    let near = browser.text(&drawn);
    browser.key("d");
    let later = browser.text(&drawn);
    assert!(all != near && near != later);
    browser.key("0");
    assert_eq!(browser.text(&drawn), all);
    browser.picture("report-timelines-light.png");
    browser.key("f");
    let differs = browser.text(said);
    assert!(differs.starts_with("The two first differ at cycle 10,"), "{differs}");
    assert_ne!(browser.text(&drawn), all);
    browser.picture("report-first-difference-light.png");
    browser.key("0");
    browser.look(1400, 1000, "dark");
    browser.value(&format!("{CHART}.scrollIntoView({{ block: 'center' }})"));
    assert!(browser.text(&drawn) != all, "a dark page has a dark chart");
    browser.picture("report-timelines-dark.png");

    // The difference of the skeletons, and where it comes from.
    let removed = browser.value("document.querySelectorAll('.skeleton td.removed .mark').length");
    let added = browser.value("document.querySelectorAll('.skeleton td.added .mark').length");
    assert!(removed.as_u64() > Some(0) && added.as_u64() > Some(0), "{removed} {added}");
    let shown = "document.querySelector('#kernel .diff').previousElementSibling.textContent";
    assert!(browser.text(shown).contains(&report.kernels[worse].divergences[0].pass));
    browser.click("document.querySelector('.finding summary')");
    let witness = browser.text("document.querySelector('.finding[open] pre').textContent");
    assert!(witness.contains("in program order"), "{witness}");
    browser.value("document.querySelector('.skeleton').scrollIntoView()");
    browser.picture("report-differences-dark.png");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Chooses in a list, as a person does.
fn choose(browser: &mut Browser, list: &str, value: usize) {
    let change = "dispatchEvent(new Event('change', { bubbles: true }))";
    let list = format!("document.getElementById('{list}')");
    browser.value(&format!(
        "new Promise(done => {{ addEventListener('hashchange', () => setTimeout(done), {{ once: true }}); \
         {list}.focus(); {list}.value = {value}; {list}.{change}; }}).then(() => 0)"
    ));
}

#[test]
#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]
fn any_pipeline_can_be_measured_against() {
    let mut browser = start();
    let (html, report) = examples("report-base");
    browser.open(&html);
    choose(&mut browser, "base", 1);
    assert_eq!(browser.text("location.hash"), "#against=a3-reference-push-back");
    let own = "document.querySelector('.totals tbody tr')";
    assert_eq!(
        browser.text(&format!("{own}.querySelector('summary').textContent")),
        "a3-reference-push-back"
    );
    let measured = browser.text(&format!("{own}.querySelector('td').textContent"));
    assert_eq!(measured, "what the others are measured against");
    // What was worse the one way is better the other.
    let verdicts = column(&mut browser, 3);
    assert!(verdicts.iter().any(|v| v.contains("errors → ▲ warnings better")), "{verdicts:?}");
    let pipelines = column(&mut browser, 2);
    assert!(
        !pipelines.contains(&"a3-reference-push-back".into()) && pipelines.contains(&"a3-reference".into())
    );

    // The second against the third, in a kernel; then the other way round.
    let worse = report.pairings[0].verdict_worse[0];
    browser.value(&format!("void (location.hash = address({worse}, 2))"));
    let heads = "[...document.querySelectorAll('.skeleton th')].map(th => th.textContent).join(' | ')";
    assert_eq!(browser.text(heads), "a3-reference-push-back | a3-codegen-only");
    let charts =
        "[...document.querySelectorAll('section > canvas')].map(c => c.getAttribute('aria-label')).join()";
    let shown = browser.text(charts);
    assert!(
        shown.contains("under a3-reference-push-back:") && shown.contains("under a3-codegen-only:"),
        "{shown}"
    );
    let lines = |browser: &mut Browser, side: &str| -> Vec<String> {
        browser.value("document.querySelectorAll('.skeleton .folded button').forEach(b => b.click())");
        let rows = format!(
            "[...document.querySelectorAll('.skeleton td{side}')].filter(td => !td.classList.contains('none') && \
             !td.classList.contains('number')).map(td => td.lastChild.textContent)"
        );
        let texts = browser.value(&rows);
        texts.as_array().expect("lines").iter().map(|t| t.as_str().unwrap_or_default().to_owned()).collect()
    };
    let skeleton = |n: usize| report.kernels[worse].results[n].compiled().expect("a plan").skeleton.clone();
    assert_eq!(lines(&mut browser, ":nth-child(2)"), skeleton(1));
    assert_eq!(lines(&mut browser, ":nth-child(4)"), skeleton(2));
    choose(&mut browser, "against", 2);
    assert_eq!(browser.text(heads), "a3-codegen-only | a3-reference-push-back");
    assert_eq!(lines(&mut browser, ":nth-child(2)"), skeleton(2));
    assert_eq!(browser.text("document.activeElement.id"), "against");
    let divergence = "document.querySelectorAll('#kernel .diff').length";
    assert_eq!(browser.text(divergence), "2");
    browser.picture("report-second-against-third-light.png");
    choose(&mut browser, "other", 0);
    assert_eq!(browser.text(heads), "a3-codegen-only | a3-reference");
    browser.key("Escape");
    assert_eq!(browser.text("location.hash"), "#against=a3-codegen-only");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn no_text_of_a_report_closes_a_block() {
    let report = sample::report();
    let html = page(&report);
    // The report's own block, the script, and one for each kernel.
    assert_eq!(html.matches("</script>").count(), 2 + report.kernels.len());
    assert!(!html.contains("<img") && !html.contains("://"));
}

#[test]
#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]
fn whatever_the_report_holds_is_shown_as_text() {
    let report = sample::report();
    let mut browser = start();
    browser.open(&write("report-by-hand.html", &report));
    assert!(browser.text("document.getElementById('about').textContent").contains("interrupted"));
    assert!(browser.text("document.querySelector('main').textContent").contains("the ranking hinges on"));
    let first = column(&mut browser, 1)[..4].join("|");
    assert!(first.contains("hangs") && first.contains("fails"), "{first}");
    for kernel in 0..report.kernels.len() {
        for pipeline in 1..report.pipelines.len() {
            browser.value(&format!("void (location.hash = address({kernel}, {pipeline}))"));
            let shown = browser.text("document.getElementById('kernel').textContent");
            let results = &report.kernels[kernel].results;
            let hangs = results[pipeline].compiled().is_some_and(|c| !c.deadlock.is_empty());
            assert_eq!(hangs, shown.contains("V waits for MTE2>V #0 at line 2"), "{shown}");
            let fails = results[0].compiled().is_none() || results[pipeline].compiled().is_none();
            assert_eq!(fails, shown.contains("It was not compiled:"), "{shown}");
            assert!(shown.contains(&report.kernels[kernel].function), "{shown}");
        }
    }
    browser.value("void (location.hash = '#kernel=there+is+none')");
    assert_eq!(browser.text("document.getElementById('list').hidden"), "false");
    assert_eq!(browser.text("document.images.length + (window.harmed ?? 0)"), "0");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn timelines_of_a_page_stay_out_of_the_json() {
    let sandbox = Sandbox::with(&[("k.pto", KERNEL)]);
    let pipelines = ["--pipeline", "a3-reference", "--pipeline", "a3-reference-push-back"];
    let files = ["--html", "r.html", "--json", "r.json"];
    let run = sandbox.run(["compare", "k.pto"].into_iter().chain(pipelines).chain(files));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(sandbox.read("r.html").contains("\"lanes\":[{"));
    assert!(!sandbox.read("r.json").contains("timeline"));
}

#[test]
#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]
fn three_hundred_kernels_open_within_a_second() {
    let mut browser = start();
    let (_, examples) = examples("report-large");
    let mut report = examples.clone();
    report.kernels = (0..300)
        .map(|n| {
            let mut kernel = examples.kernels[n % examples.kernels.len()].clone();
            kernel.file = format!("{n}/{}", kernel.file);
            kernel
        })
        .collect();
    report.pairings = pairings(&report.kernels, report.pipelines.len());
    let html = write("report-large.html", &report);
    let size = std::fs::metadata(&html).expect("the page is there").len();
    let times = [(); 3].map(|()| browser.open(&html));
    let fastest = times.iter().min().expect("three times");
    // Much less than the same as plain JSON.
    assert!(size * 3 < 2 * report.to_json().len() as u64, "{size} bytes");
    assert!(fastest.as_millis() < 1000, "opens in {times:?}");
    assert!(column(&mut browser, 1).len() >= 100);
    // Lines that are not drawn yet are drawn when they are needed.
    browser.value("focusLine(0)");
    browser.key("End");
    assert_eq!(column(&mut browser, 1).len(), 600);
    let opening = "(start => { showKernel(2, 1); return performance.now() - start; })(performance.now())";
    let opened = browser.value(opening).as_f64().expect("a time");
    assert!(opened < 500.0, "a kernel opens in {opened} ms");
    println!("{size} bytes, opened in {times:?}, a kernel in {opened:.1} ms");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Contrast of two colours of the style sheet, as the accessibility guidelines have it.
const CONTRAST: &str = "(pair => { const style = getComputedStyle(document.documentElement); \
    const light = name => { const hex = style.getPropertyValue('--' + name).trim(); \
    const [r, g, b] = [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16) / 255) \
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); \
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; \
    const [low, high] = pair.map(light).sort((a, b) => a - b); return (high + 0.05) / (low + 0.05); })";

#[test]
#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]
fn texts_can_be_read_in_light_and_dark() {
    let mut browser = start();
    browser.open(&write("report-contrast.html", &sample::report()));
    let mut pairs =
        vec![("on-sync", "sync"), ("muted", "bg"), ("text", "bg"), ("text", "added"), ("text", "removed")];
    pairs.extend(["text", "muted", "accent", "good", "bad", "warn"].map(|ink| (ink, "surface")));
    pairs.extend(["text", "accent", "good", "bad", "warn"].map(|ink| (ink, "hover")));
    for scheme in ["light", "dark"] {
        browser.look(1400, 1000, scheme);
        for (ink, ground) in &pairs {
            let contrast =
                browser.value(&format!("{CONTRAST}(['{ink}', '{ground}'])")).as_f64().expect("a number");
            assert!(contrast >= 4.5, "{scheme}: {ink} on {ground} has a contrast of {contrast:.2}");
        }
        // Large and bold, or a surface beside another.
        for (ink, ground) in
            ["work", "wait", "set", "barrier", "queue", "dispatch", "critical"].map(|c| (c, "surface"))
        {
            let contrast =
                browser.value(&format!("{CONTRAST}(['{ink}', '{ground}'])")).as_f64().expect("a number");
            assert!(contrast >= 3.0, "{scheme}: {ink} on {ground} has a contrast of {contrast:.2}");
        }
    }
}
