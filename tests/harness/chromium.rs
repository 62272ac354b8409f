//! Debian's Chromium, controlled through its debugging pipe. Each window has its own cookies.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

const PROGRAM: &str = "/usr/bin/chromium";

/// Maximum time for each step, on a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

const OPTIONS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1280,900",
];

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// A browser, which is closed at the end of the test.
pub struct Chromium {
    _process: Child,
    _folder: TempDir,
    pipe: Arc<tokio::sync::Mutex<ChildStdin>>,
    waiting: Waiting,
    next: Arc<AtomicU64>,
    /// The URLs that the windows have requested.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Chromium {
    pub fn start() -> Self {
        assert!(
            std::path::Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: sudo apt-get install --no-install-recommends chromium"
        );
        let folder = tempfile::tempdir().unwrap();
        // Chromium reads the file descriptor 3 and writes to the file descriptor 4.
        let script = r#"exec "$0" "$@" 3<&0 4>&1 >/dev/null 2>&1 </dev/null"#;
        let mut process = Command::new("/bin/sh")
            .args(["-c", script, PROGRAM])
            .args(OPTIONS)
            .arg("--remote-debugging-pipe")
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (waiting, requests) = (Waiting::default(), Arc::default());
        let output = process.stdout.take().unwrap();
        tokio::spawn(listen(output, Arc::clone(&waiting), Arc::clone(&requests)));
        let pipe = Arc::new(tokio::sync::Mutex::new(process.stdin.take().unwrap()));
        let next = Arc::default();
        Self {
            _process: process,
            _folder: folder,
            pipe,
            waiting,
            next,
            requests,
        }
    }

    /// Opens a window without cookies.
    pub async fn window(&self) -> Window<'_> {
        let context = self
            .call(None, "Target.createBrowserContext", json!({}))
            .await;
        let target = json!({
            "url": "about:blank",
            "browserContextId": context["browserContextId"],
        });
        let target = self.call(None, "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let window = Window {
            browser: self,
            session,
        };
        window.call("Network.enable", json!({})).await;
        window.call("Page.enable", json!({})).await;
        window
    }

    async fn call(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, sender);
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.pipe.lock().await.write_all(&bytes).await.unwrap();
        let answer = tokio::time::timeout(STEP_TIMEOUT, receiver).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("{method}: no answer"))
            .unwrap();
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

/// Reads responses and events, each terminated by a zero byte.
async fn listen(output: ChildStdout, waiting: Waiting, requests: Arc<Mutex<Vec<String>>>) {
    let mut messages = BufReader::new(output).split(0);
    while let Ok(Some(message)) = messages.next_segment().await {
        let Ok(mut message) = serde_json::from_slice::<Value>(&message) else {
            continue;
        };
        if let Some(id) = message["id"].as_u64() {
            let answer = match message.get("error") {
                Some(error) => Err(error.to_string()),
                None => Ok(message["result"].take()),
            };
            if let Some(sender) = waiting.lock().unwrap().remove(&id) {
                let _ = sender.send(answer);
            }
        } else if message["method"] == "Network.requestWillBeSent" {
            let url = message["params"]["request"]["url"]
                .as_str()
                .unwrap_or_default();
            requests.lock().unwrap().push(url.to_owned());
        }
    }
}

/// A browser window.
pub struct Window<'a> {
    browser: &'a Chromium,
    session: String,
}

impl Window<'_> {
    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params).await
    }

    /// The value of an expression in the page.
    pub async fn eval(&self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let answer = self.call("Runtime.evaluate", params).await;
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&self, expression: &str) {
        let began = tokio::time::Instant::now();
        // During a navigation, the expression cannot be evaluated.
        loop {
            let params = json!({ "expression": expression, "returnByValue": true });
            let answer = self.call("Runtime.evaluate", params).await;
            if answer["result"]["value"] == true {
                return;
            }
            if began.elapsed() > STEP_TIMEOUT {
                let page = self.eval("document.body.innerText").await;
                panic!("{expression:?} did not become true on:\n{page}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Navigates to a URL and waits until the page is loaded.
    pub async fn goto(&self, address: &str) {
        self.leave(|| self.call("Page.navigate", json!({ "url": address })))
            .await;
    }

    /// Clicks on a link or a button, and waits until the next page is loaded.
    pub async fn click(&self, selector: &str) {
        self.leave(|| self.press(selector)).await;
    }

    /// Clicks with the mouse in the center of an element.
    pub async fn press(&self, selector: &str) -> Value {
        let center = format!(
            "(() => {{ const element = document.querySelector({}); element.scrollIntoView({{block: 'center'}});
               const box = element.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        let center = self.eval(&center).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({
                "type": kind, "x": center[0], "y": center[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", params).await;
        }
        Value::Null
    }

    async fn leave<F: Future<Output = Value>>(&self, navigate: impl FnOnce() -> F) {
        self.eval("window.left = false").await;
        navigate().await;
        self.until("window.left === undefined && document.readyState === 'complete'")
            .await;
    }

    /// Types into a field as a user does.
    pub async fn fill(&self, selector: &str, text: &str) {
        let focus = format!("document.querySelector({}).focus()", json!(selector));
        self.eval(&focus).await;
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        self.eval("document.body.innerText")
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Asserts that the page contains a text.
    pub async fn says(&self, words: &str) {
        let text = self.text().await;
        assert!(text.contains(words), "{words:?} is missing in:\n{text}");
    }
}
