//! How texts of strangers become part of a page: escaped, linked and dated.

use std::fmt::{self, Write};

use askama::filters::Escaper;
use chassis::stamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::{
    OffsetDateTime, UtcDateTime, format_description::StaticFormatDescription,
    macros::format_description,
};
use uuid::Uuid;

/// Escapes as the old pages did: tests of theirs look for `&#34;` and `&lt;` in the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Entities;

impl Escaper for Entities {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        let mut written = 0;
        for (place, byte) in string.bytes().enumerate() {
            let entity = match byte {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&#34;",
                b'\'' => "&#39;",
                _ => continue,
            };
            dest.write_str(&string[written..place])?;
            dest.write_str(entity)?;
            written = place + 1;
        }
        dest.write_str(&string[written..])
    }
}

/// A text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    Entities
        .write_escaped_str(&mut html, text)
        .expect("a string takes everything");
    html
}

/// What stays as it is in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Names whose pages another route hides, or that are no segment of a path to a browser.
const HIDDEN: [&str; 9] = [
    "public",
    "login",
    "register",
    "logout",
    "add_message",
    "static",
    "-",
    ".",
    "..",
];

/// What stands before a name that has its pages at [`ELSEWHERE`], so that none is a dot segment.
pub(crate) const MARK: char = '@';

/// Where the pages are of those whose names are routes.
pub(crate) const ELSEWHERE: &str = "/-/user/";

/// Where a user's pages are.
pub(crate) fn user_path(name: &str) -> String {
    let segment = utf8_percent_encode(name, SEGMENT);
    if HIDDEN.contains(&name) {
        format!("{ELSEWHERE}{MARK}{segment}")
    } else {
        format!("/{segment}")
    }
}

/// The time of a message's key.
fn published(key: Uuid) -> OffsetDateTime {
    let seconds = i64::try_from(stamp::millis(key) / 1000).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn format_time(key: Uuid, format: StaticFormatDescription) -> String {
    published(key)
        .format(&format)
        .expect("a date has every part that is asked for")
}

/// The time of a message as its reader sees it.
pub(crate) fn short_time(key: Uuid) -> String {
    format_time(
        key,
        format_description!("[year]-[month]-[day] @ [hour]:[minute]"),
    )
}

/// The exact time of a message, for people.
pub(crate) fn exact_time(key: Uuid) -> String {
    format_time(
        key,
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC"),
    )
}

/// The exact time of a message, for programs.
pub(crate) fn machine_time(key: Uuid) -> String {
    format_time(
        key,
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"),
    )
}

/// Now, as seconds since 1970.
pub(crate) fn now_seconds() -> i64 {
    UtcDateTime::now().unix_timestamp()
}

/// How much of a message is shown among others; the rest is on its own page.
const CHARS_AMONG_OTHERS: usize = 800;
const LINES_AMONG_OTHERS: usize = 12;

/// Whether a message is too long to be shown whole among others.
pub(crate) fn is_long(text: &str) -> bool {
    // Most are short enough in bytes, so their characters need not be counted.
    let characters = || text.chars().count() > CHARS_AMONG_OTHERS;
    let lines = || text.lines().count() > LINES_AMONG_OTHERS;
    (text.len() > CHARS_AMONG_OTHERS && characters()) || lines()
}

/// A text as HTML, with its web addresses made links.
pub(crate) fn linked(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, address, after)) = next_address(rest) {
        html.push_str(&escaped(before));
        let address = escaped(address);
        let _ = write!(
            html,
            r#"<a href="{address}" rel="nofollow ugc noopener">{address}</a>"#
        );
        rest = after;
    }
    html.push_str(&escaped(rest));
    html
}

/// The first web address in a text, what stands before it, and what comes after.
fn next_address(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find("http")?;
        let (before, rest) = text.split_at(start);
        let inside_a_word = before
            .chars()
            .next_back()
            .is_some_and(char::is_alphanumeric);
        let scheme = ["https://", "http://"]
            .iter()
            .find(|scheme| rest.starts_with(**scheme));
        match scheme {
            Some(scheme) if !inside_a_word => {
                let address = trimmed(&rest[..address_end(rest)]);
                let host = address.get(scheme.len()..).unwrap_or_default();
                if host.starts_with(|first: char| first.is_alphanumeric() || first == '[') {
                    return Some((before, address, &rest[address.len()..]));
                }
            }
            _ => {}
        }
        from = start + "http".len();
    }
}

fn address_end(text: &str) -> usize {
    let ends = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '<' | '>' | '"' | '`')
    };
    text.find(ends).unwrap_or(text.len())
}

/// Without the punctuation of the sentence that the address stands in; brackets stay as long as
/// they close one of the address's own.
fn trimmed(mut address: &str) -> &str {
    let surplus = |opens: char, closes: char| {
        address
            .matches(closes)
            .count()
            .saturating_sub(address.matches(opens).count())
    };
    let (mut round, mut square) = (surplus('(', ')'), surplus('[', ']'));
    while let Some(last) = address.chars().next_back() {
        match last {
            ')' if round > 0 => round -= 1,
            ']' if square > 0 => square -= 1,
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '…' | '’' | '”' | '*' | '}' => {}
            _ => break,
        }
        address = &address[..address.len() - last.len_utf8()];
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_html_is_escaped_as_the_old_pages_did() {
        assert_eq!(
            escaped(r#"<b> & "x" 'y' æ"#),
            "&lt;b&gt; &amp; &#34;x&#34; &#39;y&#39; æ"
        );
    }

    #[test]
    fn a_name_is_one_segment_whatever_is_in_it() {
        assert_eq!(user_path("Roger Histand"), "/Roger%20Histand");
        assert_eq!(user_path("a/../b%?#"), "/a%2F..%2Fb%25%3F%23");
        assert_eq!(user_path("😀"), "/%F0%9F%98%80");
        assert_eq!(user_path("public"), "/-/user/@public");
        assert_eq!(user_path(".."), "/-/user/@..");
    }

    #[test]
    fn web_addresses_become_links_without_the_sentence_around_them() {
        let link = |address: &str| {
            format!(r#"<a href="{address}" rel="nofollow ugc noopener">{address}</a>"#)
        };
        assert_eq!(
            linked("see https://x.org/a."),
            format!("see {}.", link("https://x.org/a"))
        );
        assert_eq!(
            linked("(http://x.org)"),
            format!("({})", link("http://x.org"))
        );
        assert_eq!(linked("http://x.org/(a)"), link("http://x.org/(a)"));
        assert_eq!(
            linked("http://x.org/?a=1&b=2"),
            link("http://x.org/?a=1&amp;b=2")
        );
        assert_eq!(
            linked("http://a.org http://b.org"),
            format!("{} {}", link("http://a.org"), link("http://b.org"))
        );
    }

    #[test]
    fn long_is_what_takes_many_lines() {
        assert!(!is_long(&"æ".repeat(800)));
        assert!(is_long(&"æ".repeat(801)));
        assert!(!is_long(&"a\n".repeat(12)));
        assert!(is_long(&"a\n".repeat(13)));
    }

    #[test]
    fn nothing_else_becomes_a_link() {
        for text in [
            "http",
            "http://",
            "xhttp://a.org",
            "http://.",
            "javascript:alert(1)",
            "http https",
        ] {
            assert_eq!(linked(text), text);
        }
        assert_eq!(
            linked(r#"http://x.org/"onclick="alert(1)"#),
            concat!(
                r#"<a href="http://x.org/" rel="nofollow ugc noopener">http://x.org/</a>"#,
                "&#34;onclick=&#34;alert(1)"
            )
        );
    }
}
