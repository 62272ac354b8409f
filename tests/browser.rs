//! The pages in a real browser.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use harness::{
    Running,
    chromium::{Chromium, Window},
};
use serde_json::{Value, json};

mod harness;

async fn sign_up(window: &Window<'_>, pages: &str, username: &str) {
    window.goto(&format!("{pages}/register")).await;
    window.fill("#username", username).await;
    window.fill("#email", "someone@example.org").await;
    window.fill("#password", "default").await;
    window.fill("#password2", "default").await;
    window.click("input[type=submit]").await;
    window
        .says("You were successfully registered and can login now")
        .await;
    window.fill("#username", username).await;
    window.fill("#password", "default").await;
    window.click("input[type=submit]").await;
    window.says("You were logged in").await;
}

async fn share(window: &Window<'_>, text: &str) {
    window.fill(".twitbox input[name=text]", text).await;
    window.click(".twitbox input[type=submit]").await;
    window.says("Your message was recorded").await;
}

async fn script_off(window: &Window<'_>) {
    window
        .call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await;
}

/// Two users sign up, share, follow, page through a timeline and sign out.
async fn use_all_features(javascript: bool) {
    let suite = Running::new().await;
    let pages = format!("http://{}", suite.pages);
    let browser = Chromium::start();
    let (ada, bob) = (browser.window().await, browser.window().await);
    if !javascript {
        script_off(&ada).await;
        script_off(&bob).await;
    }
    sign_up(&ada, &pages, "Ada Lindqvist").await;
    sign_up(&bob, &pages, "bob").await;
    share(&ada, "<script>alert(1)</script> & \"so on\"").await;
    ada.says("<script>alert(1)</script> & \"so on\"").await;

    bob.goto(&format!("{pages}/public")).await;
    bob.click(".messages strong a").await;
    bob.says("You are not yet following this user.").await;
    bob.click("a.follow").await;
    bob.says("You are now following \"Ada Lindqvist\"").await;
    bob.click(".navigation a").await;
    bob.says("alert(1)").await;
    bob.goto(&format!("{pages}/Ada%20Lindqvist")).await;
    bob.click("a.unfollow").await;
    bob.says("You are no longer following \"Ada Lindqvist\"")
        .await;

    let simulator = suite.simulator();
    for number in 0..40 {
        let body = json!({ "content": format!("number {number}.") });
        simulator.post("/msgs/bob", &body).await.is(204);
    }
    bob.goto(&format!("{pages}/public")).await;
    bob.click(".pager [rel=next]").await;
    bob.says("number 9.").await;
    bob.says("alert(1)").await;
    bob.eval("history.back()").await;
    bob.until("document.body.innerText.includes('number 39.')")
        .await;

    ada.click("a.out").await;
    ada.says("You were logged out").await;
    ada.goto(&format!("{pages}/add_message")).await;
    let requests: Vec<String> = browser.requests.lock().unwrap().clone();
    let foreign_requests: Vec<&String> = requests
        .iter()
        .filter(|url| !url.starts_with(&pages) && url.starts_with("http"))
        .collect();
    assert!(
        foreign_requests.is_empty(),
        "requests to other hosts: {foreign_requests:?}"
    );
}

#[tokio::test]
async fn all_features_work_with_javascript() {
    use_all_features(true).await;
}

#[tokio::test]
async fn all_features_work_without_javascript() {
    use_all_features(false).await;
}

/// Overrides the page's visibility state.
async fn set_hidden(window: &Window<'_>, hidden: bool) {
    let hide = format!(
        "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
         document.dispatchEvent(new Event('visibilitychange'))"
    );
    window.eval(&hide).await;
}

#[tokio::test]
async fn new_messages_are_announced_without_moving_the_timeline() {
    let suite = Running::new().await;
    let pages = format!("http://{}", suite.pages);
    let simulator = suite.simulator();
    simulator.register("bob").await.is(204);
    let post = async |text: &str| {
        simulator
            .post("/msgs/bob", &json!({ "content": text }))
            .await
            .is(204);
    };
    post("seen already").await;
    let browser = Chromium::start();
    let (reader, hidden) = (browser.window().await, browser.window().await);
    hidden.goto(&format!("{pages}/public")).await;
    set_hidden(&hidden, true).await;
    reader.goto(&format!("{pages}/public")).await;
    reader
        .until("document.querySelector('time').textContent === 'now'")
        .await;
    let top = "document.querySelector('.messages').getBoundingClientRect().top";
    let before = reader.eval(top).await;

    post("one").await;
    reader
        .until("document.querySelector('.fresh').innerText === '1 new message'")
        .await;
    post("two").await;
    reader
        .until("document.querySelector('.fresh').innerText === '2 new messages'")
        .await;
    assert_eq!(reader.eval(top).await, before);
    // A hidden tab announces new messages when it becomes visible again.
    let announced = "!document.querySelector('.fresh').hidden";
    assert_eq!(hidden.eval(announced).await, false);
    set_hidden(&hidden, false).await;
    hidden
        .until("document.querySelector('.fresh').innerText === '2 new messages'")
        .await;
    assert_eq!(
        reader
            .eval("document.querySelectorAll('.messages > li').length")
            .await,
        1
    );
    reader.click(".fresh").await;
    reader.says("two").await;
    assert_eq!(
        reader.eval("document.querySelector('.fresh').hidden").await,
        true
    );
}

#[tokio::test]
async fn the_remaining_characters_of_a_message_are_counted() {
    let suite = Running::new().await;
    let browser = Chromium::start();
    let window = browser.window().await;
    sign_up(&window, &format!("http://{}", suite.pages), "ada").await;
    window.says("500 characters left").await;
    window
        .fill(".twitbox input[name=text]", &"x".repeat(499))
        .await;
    window.says("1 character left").await;
}

#[tokio::test]
async fn no_page_is_wider_than_the_screen() {
    let suite = Running::new().await;
    let pages = format!("http://{}", suite.pages);
    let browser = Chromium::start();
    let window = browser.window().await;
    let name = "x".repeat(200);
    sign_up(&window, &pages, &name).await;
    let body = json!({ "content": format!("https://example.org/{name} {name}") });
    let path = format!("/msgs/{name}");
    suite.simulator().post(&path, &body).await.is(204);
    window.goto(&format!("{pages}/{name}/follow")).await;
    for (width, height) in [(320, 640), (390, 844), (820, 1180), (1440, 900)] {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        window
            .call("Emulation.setDeviceMetricsOverride", size)
            .await;
        for path in [
            "/",
            "/public",
            &format!("/{name}"),
            &format!("/{name}/followers"),
            "/-/account",
            "/nobody",
        ] {
            window.goto(&format!("{pages}{path}")).await;
            let wide =
                "document.documentElement.scrollWidth > document.documentElement.clientWidth";
            assert_eq!(window.eval(wide).await, false, "{path} at {width} px");
        }
    }
}

/// The serious and critical accessibility violations that axe-core reports, with their elements.
async fn accessibility_violations(window: &Window<'_>, axe: &str) -> Vec<Value> {
    window.eval(&format!("{axe}; 0")).await;
    let run = "axe.run().then(result => result.passes.length < 5 ? ['axe-core did not run its checks'] : result.violations
        .filter(violation => ['serious', 'critical'].includes(violation.impact))
        .map(violation => [violation.id, violation.nodes.map(node => node.html + node.failureSummary).join()]))";
    window.eval(run).await.as_array().unwrap().clone()
}

#[tokio::test]
async fn no_page_has_serious_accessibility_violations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/axe-core/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&path).unwrap_or_else(|_| {
        panic!(
            "{} is missing: run `cargo xtask test`, or install it with \
             `npm install --prefix target/axe-core axe-core@4.14.1`",
            path.display()
        )
    });
    let suite = Running::new().await;
    let pages = format!("http://{}", suite.pages);
    let browser = Chromium::start();
    let (anonymous, ada) = (browser.window().await, browser.window().await);
    sign_up(&ada, &pages, "ada").await;
    for number in 0..31 {
        let text = "see https://example.org/ and مرحبا\n";
        // The last message is so long that the page truncates it.
        let lines = if number == 30 { 20 } else { 1 };
        let body = json!({ "content": text.repeat(lines) });
        suite.simulator().post("/msgs/ada", &body).await.is(204);
    }
    ada.goto(&format!("{pages}/public")).await;
    let message = ada
        .eval("document.querySelector('a.more').pathname")
        .await
        .as_str()
        .unwrap()
        .to_owned();
    sign_up(&anonymous, &pages, "bob").await;
    anonymous.goto(&format!("{pages}/ada/follow")).await;
    anonymous.click("a.out").await;

    for scheme in ["light", "dark"] {
        for window in [&anonymous, &ada] {
            let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            window
                .call(
                    "Emulation.setEmulatedMedia",
                    json!({ "features": features }),
                )
                .await;
            for path in [
                "/",
                "/public",
                "/ada",
                "/bob",
                "/ada/followers",
                "/bob/following",
                &message,
                "/login",
                "/register",
                "/nobody",
                "/-/account",
            ] {
                window.goto(&format!("{pages}{path}")).await;
                let violations = accessibility_violations(window, &axe).await;
                assert!(violations.is_empty(), "{scheme} {path}: {violations:#?}");
            }
        }
        let background = "getComputedStyle(document.body).backgroundColor";
        let background = ada.eval(background).await;
        let expected = if scheme == "dark" {
            "rgb(20, 21, 23)"
        } else {
            "rgb(247, 245, 241)"
        };
        assert_eq!(background, expected);
    }
}
