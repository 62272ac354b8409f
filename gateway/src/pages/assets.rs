//! Static files of the pages, which are part of the binary.

use std::sync::LazyLock;

use axum::{
    extract::{Path, RawQuery},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::error::PageError;

/// Cache-Control of a response that never changes at its address.
pub(super) const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// Number of bytes of the digest that are the version.
const VERSION_BYTES: usize = 6;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const ASSETS: [Asset; 4] = [
    Asset {
        name: "style.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../static/style.css"),
    },
    Asset {
        name: "minitwit.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../static/minitwit.js"),
    },
    Asset {
        name: "logo.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../../static/logo.svg"),
    },
    Asset {
        name: "favicon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../../static/favicon.svg"),
    },
];

/// Version of all files. Pages add the version to the addresses of the files.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in &ASSETS {
        digest.update(asset.bytes);
    }
    hex::encode(&digest.finalize()[..VERSION_BYTES])
});

/// Sends a file. Browsers cache the file without end if the address contains the current version.
/// Otherwise they validate it before each use.
pub(super) async fn show(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| PageError::new(StatusCode::NOT_FOUND))?;
    let tag = format!("\"{}\"", *VERSION);
    let current = query.as_deref().and_then(|query| query.strip_prefix("v=")) == Some(&VERSION);
    let caching = if current {
        CACHE_FOREVER
    } else {
        "public, no-cache"
    };
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes())
    {
        let headers = [
            (header::ETAG, tag),
            (header::CACHE_CONTROL, caching.to_owned()),
        ];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, asset.content_type.to_owned()),
        (header::CACHE_CONTROL, caching.to_owned()),
        (header::ETAG, tag),
    ];
    Ok((headers, asset.bytes).into_response())
}
