//! Texts of messages as HTML.

use std::fmt::Write as _;

use super::escape;

/// Maximum number of characters that a timeline shows of a message. The rest is on the message's own
/// page.
const SHOWN_CHARS_MAX: usize = 800;

/// Maximum number of lines that a timeline shows of a message.
const SHOWN_LINES_MAX: usize = 12;

/// Whether a timeline shows only the start of the message.
pub(crate) fn is_long(text: &str) -> bool {
    // Most texts are short in bytes, so their characters need no counting.
    let characters = || text.chars().count() > SHOWN_CHARS_MAX;
    let lines = || text.lines().count() > SHOWN_LINES_MAX;
    (text.len() > SHOWN_CHARS_MAX && characters()) || lines()
}

/// Renders a text as HTML and turns web addresses into links.
pub(crate) fn with_links(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, address, after)) = next_address(rest) {
        html.push_str(&escape::html(before));
        let address = escape::html(address);
        let _ = write!(
            html,
            r#"<a href="{address}" rel="nofollow ugc noopener">{address}</a>"#
        );
        rest = after;
    }
    html.push_str(&escape::html(rest));
    html
}

/// Splits a text at its first web address into the text before, the address and the text after.
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
                let address = trim_punctuation(&rest[..address_end(rest)]);
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

/// Position of the first character that cannot be part of an address.
fn address_end(text: &str) -> usize {
    let ends = |character: char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '<' | '>' | '"' | '`')
    };
    text.find(ends).unwrap_or(text.len())
}

/// Removes the punctuation that belongs to the sentence around the address. A closing bracket stays
/// if the address contains its opening bracket.
fn trim_punctuation(mut address: &str) -> &str {
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
    fn web_addresses_become_links_without_the_punctuation_around_them() {
        let link = |address: &str| {
            format!(r#"<a href="{address}" rel="nofollow ugc noopener">{address}</a>"#)
        };
        assert_eq!(
            with_links("see https://x.org/a."),
            format!("see {}.", link("https://x.org/a"))
        );
        assert_eq!(
            with_links("(http://x.org)"),
            format!("({})", link("http://x.org"))
        );
        assert_eq!(with_links("http://x.org/(a)"), link("http://x.org/(a)"));
        assert_eq!(
            with_links("http://x.org/?a=1&b=2"),
            link("http://x.org/?a=1&amp;b=2")
        );
        assert_eq!(
            with_links("http://a.org http://b.org"),
            format!("{} {}", link("http://a.org"), link("http://b.org"))
        );
    }

    #[test]
    fn a_long_message_has_many_characters_or_many_lines() {
        assert!(!is_long(&"æ".repeat(800)));
        assert!(is_long(&"æ".repeat(801)));
        assert!(!is_long(&"a\n".repeat(12)));
        assert!(is_long(&"a\n".repeat(13)));
    }

    #[test]
    fn text_that_is_not_a_web_address_does_not_become_a_link() {
        for text in [
            "http",
            "http://",
            "xhttp://a.org",
            "http://.",
            "javascript:alert(1)",
            "http https",
        ] {
            assert_eq!(with_links(text), text);
        }
        assert_eq!(
            with_links(r#"http://x.org/"onclick="alert(1)"#),
            concat!(
                r#"<a href="http://x.org/" rel="nofollow ugc noopener">http://x.org/</a>"#,
                "&#34;onclick=&#34;alert(1)"
            )
        );
    }
}
