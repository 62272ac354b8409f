//! `POST /register`: a new account.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use chassis::deadline::Deadline;
use http::StatusCode;
use minitwit_proto::{
    limits::{EMAIL_BYTES_MAX, PASSWORD_BYTES_MAX, USERNAME_BYTES_MAX},
    user::v1::NewUser,
};
use serde::Deserialize;
use tonic::Code;

use super::caller::Anyone;
use crate::{App, SIGN_IN_BUDGET, error::ApiError, json};

/// What the old system says when a name is taken; there and here it is a 400.
pub(crate) const TAKEN: &str = "The username is already taken";

#[derive(Deserialize)]
struct Registration {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    pwd: Option<String>,
}

/// Why a registration cannot be, in the old system's words and order; `None` when it can be tried.
pub(crate) fn objection(username: &str, email: &str, password: &str) -> Option<String> {
    if username.is_empty() {
        return Some("You have to enter a username".to_owned());
    }
    if !email.contains('@') {
        return Some("You have to enter a valid email address".to_owned());
    }
    if password.is_empty() {
        return Some("You have to enter a password".to_owned());
    }
    let limits = [
        ("username", username, USERNAME_BYTES_MAX),
        ("email address", email, EMAIL_BYTES_MAX),
        ("password", password, PASSWORD_BYTES_MAX),
    ];
    for (what, value, most) in limits {
        if value.len() > most {
            let length = value.len();
            return Some(format!(
                "The {what} has {length} bytes, at most {most} are taken"
            ));
        }
        if value.contains('\0') {
            return Some(format!("The {what} contains a NUL character"));
        }
    }
    None
}

pub(crate) async fn register(State(app): State<App>, caller: Anyone, body: Body) -> Response {
    caller
        .answer(async {
            let backend = &app.0.backend;
            backend.counters.register.increment(1);
            let wanted: Registration = json::read(body, caller.deadline).await?;
            let username = wanted.username.unwrap_or_default();
            let email = wanted.email.unwrap_or_default();
            let password = wanted.pwd.unwrap_or_default();
            if let Some(objection) = objection(&username, &email, &password) {
                return Err(ApiError::bad_request(objection));
            }
            let id = bytes::Bytes::copy_from_slice(caller.key.as_bytes());
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
                    Err(ApiError::bad_request(TAKEN))
                }
                Err(status) => Err(status.into()),
            }
        })
        .await
}
