//! `POST /register`, creation of an account.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::deadline::Deadline;
use http::StatusCode;
use minitwit_proto::user::v1::NewUser;
use serde::Deserialize;
use tonic::Code;

use super::request::ApiRequest;
use crate::{App, SIGN_IN_BUDGET, body::read_json, error::ApiError, validate};

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    pwd: Option<String>,
}

pub(crate) async fn register(State(app): State<App>, request: ApiRequest, body: Body) -> Response {
    request
        .answer(async {
            let backend = &app.0.backend;
            backend.counters.register.increment(1);
            let registration: Registration = read_json(body, request.deadline).await?;
            let username = registration.username.unwrap_or_default();
            let email = registration.email.unwrap_or_default();
            let password = registration.pwd.unwrap_or_default();
            validate::registration(&username, &email, &password)?;
            let id = bytes::Bytes::copy_from_slice(request.key.as_bytes());
            let new = NewUser {
                id,
                username,
                email,
                password,
            };
            match backend
                .accounts
                .register(new, Deadline::after(SIGN_IN_BUDGET))
                .await
            {
                Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
                Err(status) if status.code() == Code::AlreadyExists => {
                    Err(ApiError::bad_request(validate::USERNAME_TAKEN))
                }
                Err(status) => Err(status.into()),
            }
        })
        .await
}
