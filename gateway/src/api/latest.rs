//! `GET /latest`: how far the simulator has come.

use axum::{extract::State, response::Response};
use serde::Serialize;

use super::caller::Anyone;
use crate::{App, api};

#[derive(Serialize)]
struct Body {
    latest: i64,
}

pub(crate) async fn show(State(app): State<App>, caller: Anyone) -> Response {
    let client = caller.client.as_deref().unwrap_or_default();
    caller
        .answer(async {
            let latest = app.0.backend.latest.get(client, caller.deadline).await?;
            let body = serde_json::to_vec(&Body { latest }).expect("a number can be written");
            Ok(api::rendered(body.into()))
        })
        .await
}
