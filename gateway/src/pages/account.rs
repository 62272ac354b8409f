//! Registration, sign-in and sign-out.

use askama::Template;
use axum::{body::Body, extract::State, response::Response};
use chassis::deadline::Deadline;
use minitwit_proto::user::v1::{NewUser, PasswordCheck};
use tonic::Code;

use super::{
    PageResult, csrf::StateChange, error::PageError, form::Form, layout::Layout,
    request::PageRequest, visitor::Visitor,
};
use crate::{
    App, SIGN_IN_BUDGET,
    validate::{self, InvalidInput, PASSWORDS_DIFFER, USERNAME_TAKEN},
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

pub(super) async fn login_form(request: PageRequest) -> Response {
    let visitor = request.verify_session().await;
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

pub(super) async fn login(
    State(app): State<App>,
    change: StateChange,
    request: PageRequest,
    body: Body,
) -> PageResult {
    let mut visitor = request.verify_session().await;
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
            visitor.sign_in(&verified.account, &change);
            visitor.flash("You were logged in");
            if verified.one_time_password {
                visitor.flash(
                    "This password was valid for one sign-in only. Choose a new password now.",
                );
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

pub(super) async fn register_form(request: PageRequest) -> Response {
    let visitor = request.verify_session().await;
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
    request: PageRequest,
    body: Body,
) -> PageResult {
    let mut visitor = request.verify_session().await;
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

/// Registers an account. Returns the error that the form shows, if there is one.
async fn try_register(
    app: &App,
    visitor: &Visitor,
    form: &Form,
) -> Result<Option<String>, PageError> {
    let [username, email, password] = ["username", "email", "password"].map(|name| form.text(name));
    if let Err(InvalidInput(error)) = validate::registration(username, email, password) {
        return Ok(Some(error));
    }
    if password != form.text("password2") {
        return Ok(Some(PASSWORDS_DIFFER.to_owned()));
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
        Err(status) if status.code() == Code::AlreadyExists => Ok(Some(USERNAME_TAKEN.to_owned())),
        Err(status) => Err(status.into()),
    }
}

pub(super) async fn logout(change: StateChange, request: PageRequest) -> Response {
    let mut visitor = request.verify_session().await;
    visitor.sign_out(&change);
    visitor.flash("You were logged out");
    visitor.redirect("/public")
}
