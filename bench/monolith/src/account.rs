//! Registration.

use std::sync::Arc;

use argon2::{Argon2, PasswordHasher, password_hash::phc::PasswordHash};
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
};
use serde::Deserialize;

use crate::{app::App, body, error::ApiError, request::ApiRequest};

#[derive(Deserialize)]
struct Form {
    username: String,
    email: String,
    pwd: String,
}

impl Form {
    fn check(self) -> Result<Self, ApiError> {
        if self.username.is_empty() {
            return Err(ApiError::Invalid("You have to enter a username"));
        }
        if !self.email.contains('@') {
            return Err(ApiError::Invalid("You have to enter a valid email address"));
        }
        if self.pwd.is_empty() {
            return Err(ApiError::Invalid("You have to enter a password"));
        }
        Ok(self)
    }
}

/// `POST /register`
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    request: ApiRequest,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let form = match body::read(body).and_then(Form::check) {
        Ok(form) => form,
        Err(error) => return app.reject(request.latest, error).await,
    };
    let hash = tokio::task::spawn_blocking(move || hash(&form.pwd))
        .await
        .expect("hashing does not panic");
    let latest_update = app.latest.update(request.latest);
    let statement = latest_update
        .with(format_args!(
            " INSERT INTO users (username, email, pw_hash) VALUES ($2, $3, $4)
              ON CONFLICT (username) DO NOTHING"
        ))
        .bind(form.username)
        .bind(form.email)
        .bind(hash);
    let stored = latest_update.run(statement.execute(&app.database)).await?;
    if stored.rows_affected() == 0 {
        return Err(ApiError::Invalid("The username is already taken"));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn hash(password: &str) -> String {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .expect("the default parameters are valid");
    hash.to_string()
}
