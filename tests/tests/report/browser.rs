//! Headless Chromium, driven as a person drives it: keys, clicks, what is on the page, what the console says.
//!
//! The protocol goes through a pair of pipes that the browser has as its descriptors 3 and 4: messages in JSON, each
//! ended by a zero byte.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take; far longer than any does, so that a hang fails a test instead of stopping all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    events: Vec<Value>,
    session: Option<String>,
    last_id: u64,
    _profile: tempfile::TempDir,
}

/// Where the browser is, if there is one.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut all = std::env::split_paths(&path).flat_map(|directory| names.map(|name| directory.join(name)));
    all.find(|file| file.is_file())
}

/// Starts a browser. A test that does so is ignored where there is none:
/// `#[cfg_attr(not(browser), ignore = "there is no Chromium on the path")]`.
pub(crate) fn start() -> Browser {
    let program = program().expect("there is a Chromium on the path");
    let profile = tempfile::tempdir().expect("a temporary directory can be made");
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null"])
        .arg(program)
        // The sandbox does not work for the super-user or in most containers; only files of the test are opened.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--remote-debugging-pipe"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("about:blank")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let input = child.stdin.take().expect("the input is a pipe");
    let output = BufReader::new(child.stdout.take().expect("the output is a pipe"));
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        for message in output.split(0) {
            let message = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if message.is_none_or(|message| sender.send(message).is_err()) {
                break;
            }
        }
    });
    let (events, session) = (Vec::new(), None);
    let mut browser = Browser { child, input, messages, events, session, last_id: 0, _profile: profile };
    let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
    let attach = json!({ "targetId": target["targetId"], "flatten": true });
    let session = browser.call("Target.attachToTarget", attach);
    browser.session = session["sessionId"].as_str().map(str::to_owned);
    for domain in ["Page", "Runtime", "Log", "Network"] {
        browser.call(&format!("{domain}.enable"), json!({}));
    }
    browser.look(1400, 1000, "light");
    browser
}

impl Browser {
    /// Opens a file and waits until it is loaded; the time that it took.
    pub(crate) fn open(&mut self, file: &Path) -> Duration {
        let start = Instant::now();
        self.events.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        while !self.events.iter().any(|e| e["method"] == "Page.loadEventFired") {
            let message = self.next();
            self.events.push(message);
        }
        start.elapsed()
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let how = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", how);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// The value of an expression, as text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.value(&format!("String({expression})"));
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Presses a key: a character, or a name such as `Enter`.
    pub(crate) fn key(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { key };
        let writes = key == "Enter" || key.chars().count() == 1;
        let mut event = json!({ "key": key, "windowsVirtualKeyCode": code });
        event["type"] = if writes { "keyDown" } else { "rawKeyDown" }.into();
        if writes {
            event["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", event);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
        self.settle();
    }

    /// Clicks on the middle of the element that an expression gives.
    pub(crate) fn click(&mut self, element: &str) {
        let (x, y) = self.middle(element);
        for event in ["mousePressed", "mouseReleased"] {
            let how = json!({ "type": event, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", how);
        }
        self.settle();
    }

    /// Moves the mouse to a place within the element that an expression gives, in pixels from its corner.
    pub(crate) fn point(&mut self, element: &str, x: f64, y: f64) {
        let corner = format!("(r => [r.left, r.top])(({element}).getBoundingClientRect())");
        let corner = self.value(&corner);
        let at = |n: usize, by: f64| corner[n].as_f64().expect("a coordinate") + by;
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": at(0, x), "y": at(1, y) }));
        self.settle();
    }

    /// Sets the size of the window and the colour scheme, `light` or `dark`.
    pub(crate) fn look(&mut self, width: usize, height: usize, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
        self.settle();
    }

    /// Takes a picture of the window and keeps it among the files of the test. The picture, encoded.
    pub(crate) fn picture(&mut self, name: &str) -> String {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let encoded = shot["data"].as_str().expect("a picture").to_owned();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(file, base64(&encoded)).expect("the picture can be written");
        encoded
    }

    /// What went wrong on the page since it was opened: exceptions, messages of the console, files that it asked for.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.settle();
        let is_bad = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded") => true,
            Some("Network.requestWillBeSent") => event["params"]["type"] != "Document",
            _ => false,
        };
        self.events.iter().filter(is_bad).map(|event| event["params"].to_string()).collect()
    }

    fn middle(&mut self, element: &str) -> (f64, f64) {
        let middle = format!(
            "(e => {{ e.scrollIntoView({{ block: 'center' }}); const r = e.getBoundingClientRect(); \
             return [r.left + r.width / 2, r.top + r.height / 2]; }})({element})"
        );
        let middle = self.value(&middle);
        (middle[0].as_f64().expect("an element"), middle[1].as_f64().expect("an element"))
    }

    /// Waits until what was asked for is drawn.
    fn settle(&mut self) {
        if self.session.is_some() {
            self.value(
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))",
            );
        }
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        write!(self.input, "{message}\0").and_then(|()| self.input.flush()).expect("the browser listens");
        loop {
            let answer = self.next();
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("the browser answers")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of a text in base 64.
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    let bytes = |four: &[u8]| {
        let bits = four.iter().fold(0u32, |bits, &d| bits << 6 | u32::from(d)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(bytes).collect()
}
