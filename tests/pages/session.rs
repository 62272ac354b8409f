//! Validity of sessions, their keys, and their use on several gateways.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, header};
use minitwit_gateway::session::CookieKeys;
use sha2::Sha256;

use crate::{
    harness::{COOKIE_KEY, Running, person::Person, relay::Relay},
    has,
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Returns the payload of a session cookie and the time of its signature.
fn read(cookie: &str) -> (Vec<u8>, i64) {
    let (payload, _) = cookie.split_once('.').unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let issued = i64::from_be_bytes(payload[24..32].try_into().unwrap());
    (payload, issued)
}

/// Returns a client whose session cookie was signed `seconds` earlier.
fn aged(person: &Person, seconds: i64) -> Person {
    let (mut payload, issued) = read(&person.cookies["session"]);
    payload[24..32].copy_from_slice(&(issued - seconds).to_be_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(COOKIE_KEY.as_bytes()).unwrap();
    mac.update(b"session\0");
    mac.update(&payload);
    let [payload, mac] = [&payload[..], &mac.finalize().into_bytes()[..]]
        .map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let mut person = person.clone();
    let cookie = format!("{payload}.{mac}");
    person.cookies.insert("session".to_owned(), cookie);
    person
}

fn set_cookies(headers: &HeaderMap) -> Vec<&str> {
    let cookies = headers.get_all(header::SET_COOKIE).iter();
    cookies.map(|cookie| cookie.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_session_is_renewed_daily_and_ends_after_seven_days() {
    let suite = Running::new().await;
    let foo = Person::signed_in(suite.pages, "foo").await;
    let (_, issued) = read(&foo.cookies["session"]);

    let young = aged(&foo, DAY_SECONDS - 600).get("/").await.is(200);
    assert_eq!(set_cookies(&young.headers), [""; 0]);
    for age in [DAY_SECONDS + 600, 7 * DAY_SECONDS - 600] {
        let mut old = aged(&foo, age);
        let answer = old.get("/").await.is(200);
        has(
            set_cookies(&answer.headers)[0],
            &["session=", "; Max-Age=604800;", "; HttpOnly"],
        );
        let (_, renewed) = read(&old.cookies["session"]);
        assert!(renewed >= issued, "{renewed} is before {issued}");
        has(&old.visit("/").await, &["sign out [foo]"]);
    }
    let mut ended = aged(&foo, 7 * DAY_SECONDS + 600);
    assert_eq!(
        ended.get("/").await.is(302).headers[header::LOCATION],
        "/public"
    );
    ended.get("/-/account").await.is(401);
}

#[tokio::test]
async fn a_new_key_ends_no_session() {
    let suite = Running::new().await;
    let foo = Person::signed_in(suite.pages, "foo").await;
    let new = "another key that only the tests know and that is long";
    let with_keys = async |keys: String| {
        let keys = CookieKeys::parse(&keys.into()).unwrap();
        suite
            .gateway_with(|config| config.pages.cookie_keys = keys)
            .await
    };
    let both = with_keys(format!("{new},{COOKIE_KEY}")).await;
    let only_new = with_keys(new.to_owned()).await;
    let at = |person: &Person, address| Person {
        address,
        ..person.clone()
    };

    let mut rotated = at(&aged(&foo, 2 * DAY_SECONDS), both);
    has(&rotated.visit("/").await, &["sign out [foo]"]);
    // The renewed cookie is signed with the new key, so the old key can be removed.
    has(
        &at(&rotated, only_new).visit("/").await,
        &["sign out [foo]"],
    );
    at(&foo, only_new).get("/-/account").await.is(401);
}

#[tokio::test]
async fn cookies_are_secure_if_the_client_uses_tls() {
    let suite = Running::new().await;
    Person::new(suite.pages).register("foo").await;
    let behind_proxy = suite
        .gateway_with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()])
        .await;
    for (address, scheme, secure) in [
        (behind_proxy, "https", true),
        (behind_proxy, "http", false),
        // A client that is not a trusted proxy cannot report TLS.
        (suite.pages, "https", false),
    ] {
        let mut person = Person::new(address).with("x-forwarded-proto", scheme);
        let fields = [("username", "foo"), ("password", "default")];
        let answer = person.post("/login", &fields).await.is(302);
        let cookies = set_cookies(&answer.headers);
        assert_eq!(cookies.len(), 2, "{cookies:?}");
        for cookie in cookies {
            assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
        }
    }
}

#[tokio::test]
async fn two_gateways_behind_one_address_behave_like_one_site() {
    let suite = Running::new().await;
    let one_site = Relay::to([suite.pages, suite.another_gateway().await]).await;
    let origin = format!("http://{}", one_site.address);
    let mut bar = Person::signed_in(one_site.address, "bar").await;
    let mut foo = Person::signed_in(one_site.address, "foo")
        .await
        .with("origin", &origin);
    // Each request is sent twice, so that each gateway receives it.
    for number in 0..2 {
        let text = format!("number {number}");
        has(
            &foo.share(&text).await,
            &["Your message was recorded", &text],
        );
        foo.visit("/public").await;
        has(&bar.visit("/foo").await, &[&text, "sign out [bar]"]);
        has(&bar.visit("/foo/follow").await, &["You are now following"]);
        bar.visit("/public").await;
        has(&bar.visit("/").await, &[&text]);
        has(&bar.visit("/foo/unfollow").await, &["You are no longer"]);
        assert!(!bar.visit("/").await.contains(&text));
    }
    let fields = [
        ("password", "default"),
        ("new", "better"),
        ("new2", "better"),
    ];
    let changed = foo.submit("/-/account/password", &fields).await;
    has(&changed, &["Your password was changed", "sign out [foo]"]);
    for _ in 0..2 {
        has(&foo.visit("/").await, &["sign out [foo]"]);
    }
    has(
        &foo.visit("/logout").await,
        &["You were logged out", "sign in"],
    );
}
