//! Escaping of text in HTML and in XML.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// Escapes text for HTML with the character references of the original application, because
/// existing page tests compare `&#34;` and `&lt;` byte by byte.
#[derive(Clone, Copy)]
pub(crate) struct HtmlEscaper;

impl Escaper for HtmlEscaper {
    fn write_escaped_str<W: Write>(&self, mut out: W, text: &str) -> fmt::Result {
        let mut written = 0;
        for (position, byte) in text.bytes().enumerate() {
            let Some(reference) = character_reference(byte) else {
                continue;
            };
            out.write_str(&text[written..position])?;
            out.write_str(reference)?;
            written = position + 1;
        }
        out.write_str(&text[written..])
    }
}

/// Escapes text for XML 1.0. Characters that XML forbids become U+FFFD. A carriage return becomes a
/// character reference, because XML parsers read a literal one as a line feed.
#[derive(Clone, Copy)]
pub(crate) struct XmlEscaper;

impl Escaper for XmlEscaper {
    fn write_escaped_str<W: Write>(&self, mut out: W, text: &str) -> fmt::Result {
        let mut written = 0;
        for (position, character) in text.char_indices() {
            let replacement = match character {
                '\r' => Some("&#13;"),
                '\t' | '\n' => None,
                '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => Some("\u{FFFD}"),
                _ => u8::try_from(character).ok().and_then(character_reference),
            };
            let Some(replacement) = replacement else {
                continue;
            };
            out.write_str(&text[written..position])?;
            out.write_str(replacement)?;
            written = position + character.len_utf8();
        }
        out.write_str(&text[written..])
    }
}

/// Character reference of a character that is part of the markup.
fn character_reference(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&#34;"),
        b'\'' => Some("&#39;"),
        _ => None,
    }
}

/// Escapes a text for HTML.
pub(crate) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    HtmlEscaper
        .write_escaped_str(&mut html, text)
        .expect("a string accepts every write");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(text: &str) -> String {
        let mut xml = String::new();
        XmlEscaper.write_escaped_str(&mut xml, text).unwrap();
        xml
    }

    #[test]
    fn html_is_escaped_with_the_references_of_the_original_application() {
        assert_eq!(
            html(r#"<b> & "x" 'y' æ"#),
            "&lt;b&gt; &amp; &#34;x&#34; &#39;y&#39; æ"
        );
    }

    #[test]
    fn xml_without_special_characters_stays_as_it_is() {
        let text = "tab\tline\n café 😀 \u{85}\u{FFFD}";
        assert_eq!(xml(text), text);
    }

    #[test]
    fn xml_markup_is_escaped_and_forbidden_characters_are_replaced() {
        assert_eq!(
            xml("<b> & \"x\" 'y'"),
            "&lt;b&gt; &amp; &#34;x&#34; &#39;y&#39;"
        );
        assert_eq!(xml("a\rb"), "a&#13;b");
        for forbidden in ['\0', '\u{1}', '\u{B}', '\u{1F}', '\u{FFFE}', '\u{FFFF}'] {
            assert_eq!(xml(&format!("a{forbidden}b")), "a\u{FFFD}b");
        }
    }
}
