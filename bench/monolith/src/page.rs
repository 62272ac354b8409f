//! The page of the public timeline.

use std::{
    fmt::{self, Display, Write},
    sync::Arc,
};

use axum::{extract::State, response::Html};
use sqlx::Row;

use crate::{app::App, error::ApiError};

const TOP: &str = r#"<!doctype html>
<title>Public Timeline | MiniTwit</title>
<link rel="stylesheet" href="/static/style.css">
<div class="page">
<h1>MiniTwit</h1>
<div class="navigation">
<a href="/public">public timeline</a> |
<a href="/register">sign up</a> |
<a href="/login">sign in</a>
</div>
<div class="body">
<h2>Public Timeline</h2>
<ul class="messages">
"#;

const BOTTOM: &str = "</ul>
</div>
<div class=\"footer\">MiniTwit</div>
</div>
";

/// Initial capacity for a page in bytes, which is enough for typical messages.
const PAGE_BYTES_INITIAL: usize = 16 * 1024;

/// `GET /public`
pub(crate) async fn public(State(app): State<Arc<App>>) -> Result<Html<String>, ApiError> {
    let rows = sqlx::query(
        "SELECT text, username, md5(lower(trim(email))),
                to_char(to_timestamp(pub_date) AT TIME ZONE 'UTC', 'YYYY-MM-DD @ HH24:MI')
         FROM messages JOIN users ON user_id = author_id
         WHERE NOT flagged
         ORDER BY pub_date DESC, message_id DESC
         LIMIT 30",
    )
    .fetch_all(&app.database)
    .await?;
    let mut page = String::with_capacity(PAGE_BYTES_INITIAL);
    page.push_str(TOP);
    for row in &rows {
        let (text, name) = (Escaped(row.try_get(0)?), Escaped(row.try_get(1)?));
        let (avatar, date): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
        writeln!(
            page,
            r#"<li><img width="48" src="http://www.gravatar.com/avatar/{avatar}?d=identicon&amp;s=48">
<p><strong><a href="/{name}">{name}</a></strong> {text} <small>&mdash; {date}</small></li>"#,
        )
        .expect("writing to a string does not fail");
    }
    page.push_str(BOTTOM);
    Ok(Html(page))
}

/// Text with escaped HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |byte: &u8| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
        let mut rest = self.0;
        while let Some(at) = rest.bytes().position(|byte| special(&byte)) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&#34;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(
            Escaped(r#"<b title="it's">é & co</b>"#).to_string(),
            "&lt;b title=&#34;it&#39;s&#34;&gt;é &amp; co&lt;/b&gt;"
        );
    }
}
