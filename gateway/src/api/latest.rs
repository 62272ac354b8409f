//! `GET /latest`, the id of the simulator's latest action.

use axum::{extract::State, response::Response};
use serde::Serialize;

use super::{json_response, request::ApiRequest};
use crate::App;

#[derive(Serialize)]
struct Body {
    latest: i64,
}

pub(crate) async fn show(State(app): State<App>, request: ApiRequest) -> Response {
    let client = request.client.as_deref().unwrap_or_default();
    request
        .answer(async {
            let latest = app.0.backend.latest.get(client, request.deadline).await?;
            let body = serde_json::to_vec(&Body { latest }).expect("a number is valid JSON");
            Ok(json_response(body.into()))
        })
        .await
}
