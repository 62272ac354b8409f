//! Signing up, in and out.

use askama::Template;
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chassis::deadline::Deadline;
use minitwit_proto::user::v1::{NewUser, PasswordCheck};
use tonic::Code;

use super::{PageAnswer, error::PageError, form::Form, layout::Layout, visitor::Visitor};
use crate::{
    App, SIGN_IN_BUDGET,
    api::register::{TAKEN, objection},
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    layout: Layout<'a>,
    error: Option<&'a str>,
    username: &'a str,
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    layout: Layout<'a>,
    error: Option<&'a str>,
    username: &'a str,
    email: &'a str,
}

pub(super) async fn login_form(visitor: Visitor) -> Response {
    if visitor.account.is_some() {
        return visitor.redirect("/");
    }
    login_page(&visitor, None, "")
}

fn login_page(visitor: &Visitor, error: Option<&str>, username: &str) -> Response {
    visitor.page(&LoginPage {
        layout: visitor.layout("/login"),
        error,
        username,
    })
}

pub(super) async fn login(State(app): State<App>, mut visitor: Visitor, body: Body) -> PageAnswer {
    if visitor.account.is_some() {
        return Ok(visitor.redirect("/"));
    }
    app.0.backend.counters.login.increment(1);
    let form = Form::read(body, visitor.deadline).await?;
    let username = form.text("username");
    let check = PasswordCheck {
        username: username.to_owned(),
        password: form.text("password").to_owned(),
        client_address: visitor
            .origin
            .client
            .map(|address| address.to_string())
            .unwrap_or_default(),
    };
    match app
        .0
        .backend
        .accounts
        .verify(check, Deadline::after(SIGN_IN_BUDGET))
        .await
    {
        Ok(verified) => {
            visitor.sign_in(&verified.account);
            visitor.flash("You were logged in");
            if verified.one_time_password {
                visitor.flash("That password is used up now: choose a new one before you leave");
                return Ok(visitor.redirect("/-/account"));
            }
            Ok(visitor.redirect("/"))
        }
        Err(status) => {
            let error = match status.code() {
                Code::NotFound => "Invalid username",
                Code::Unauthenticated | Code::InvalidArgument => "Invalid password",
                _ => return Err(status.into()),
            };
            Ok(login_page(&visitor, Some(error), username))
        }
    }
}

pub(super) async fn register_form(visitor: Visitor) -> Response {
    if visitor.account.is_some() {
        return visitor.redirect("/");
    }
    let layout = visitor.layout("/register");
    visitor.page(&RegisterPage {
        layout,
        error: None,
        username: "",
        email: "",
    })
}

pub(super) async fn register(
    State(app): State<App>,
    mut visitor: Visitor,
    body: Body,
) -> PageAnswer {
    if visitor.account.is_some() {
        return Ok(visitor.redirect("/"));
    }
    app.0.backend.counters.register.increment(1);
    let form = Form::read(body, visitor.deadline).await?;
    let Some(error) = try_register(&app, &visitor, &form).await? else {
        visitor.flash("You were successfully registered and can login now");
        return Ok(visitor.redirect("/login"));
    };
    Ok(visitor.page(&RegisterPage {
        layout: visitor.layout("/register"),
        error: Some(&error),
        username: form.text("username"),
        email: form.text("email"),
    }))
}

/// Registers, or tells why not.
async fn try_register(
    app: &App,
    visitor: &Visitor,
    form: &Form,
) -> Result<Option<String>, PageError> {
    let [username, email, password] = ["username", "email", "password"].map(|name| form.text(name));
    if let Some(objection) = objection(username, email, password) {
        return Ok(Some(objection));
    }
    if password != form.text("password2") {
        return Ok(Some("The two passwords do not match".to_owned()));
    }
    let new = NewUser {
        id: bytes::Bytes::copy_from_slice(visitor.origin.key.as_bytes()),
        username: username.to_owned(),
        email: email.to_owned(),
        password: password.to_owned(),
    };
    match app
        .0
        .backend
        .accounts
        .register(new, Deadline::after(SIGN_IN_BUDGET))
        .await
    {
        Ok(_) => Ok(None),
        Err(status) if status.code() == Code::AlreadyExists => Ok(Some(TAKEN.to_owned())),
        Err(status) => Err(status.into()),
    }
}

pub(super) async fn logout(mut visitor: Visitor) -> Response {
    visitor.sign_out();
    visitor.flash("You were logged out");
    visitor.redirect("/public").into_response()
}
