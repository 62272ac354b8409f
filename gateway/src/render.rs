//! Rendering of timelines and account lists as JSON, HTML, Atom and plain ids.
//!
//! The cache of rendered responses and the handlers of API and pages use this module. This module
//! imports none of them.

pub(crate) use minitwit_client::{accounts::Account, messages::Entry};

pub(crate) mod account_list;
pub(crate) mod atom;
pub(crate) mod avatar;
pub(crate) mod escape;
pub(crate) mod html;
pub(crate) mod ids;
pub(crate) mod json;
pub(crate) mod path;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod timeline;
