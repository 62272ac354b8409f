//! `/-/account`: a person's own account: its password, its sessions, its end.

use askama::Template;
use axum::{body::Body, extract::State, response::Response};
use chassis::deadline::Deadline;
use minitwit_proto::{
    limits::PASSWORD_BYTES_MAX,
    user::v1::{PasswordChange, PasswordCheck},
};
use tonic::Code;

use super::{PageAnswer, error::PageError, form::Form, layout::Layout, visitor::Visitor};
use crate::{App, SIGN_IN_BUDGET};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    layout: Layout<'a>,
    name: &'a str,
    error: Option<&'a str>,
}

pub(super) async fn show(visitor: Visitor) -> PageAnswer {
    page(&visitor, None)
}

/// Where the form is, for those who ask for the address that it is sent to.
pub(super) async fn form(visitor: Visitor) -> Response {
    visitor.redirect("/-/account")
}

fn page(visitor: &Visitor, error: Option<&str>) -> PageAnswer {
    let Some(me) = &visitor.account else {
        return Err(PageError::unauthorized());
    };
    Ok(visitor.page(&SettingsPage {
        layout: visitor.layout(""),
        name: &me.username,
        error,
    }))
}

pub(super) async fn change_password(
    State(app): State<App>,
    mut visitor: Visitor,
    body: Body,
) -> PageAnswer {
    let me = visitor.confirmed()?;
    let form = Form::read(body, visitor.deadline).await?;
    let [old, new, again] = ["password", "new", "new2"].map(|name| form.text(name));
    if let Some(objection) = objection(new, again) {
        return page(&visitor, Some(objection));
    }
    let address = visitor.origin.client.map(|address| address.to_string());
    let change = PasswordChange {
        check: Some(PasswordCheck {
            username: me.username,
            password: old.to_owned(),
            client_address: address.unwrap_or_default(),
        }),
        new_password: new.to_owned(),
        session_epoch: me.epoch,
    };
    let deadline = Deadline::after(SIGN_IN_BUDGET);
    match app
        .0
        .backend
        .accounts
        .change_password(change, deadline)
        .await
    {
        Ok(account) => {
            visitor.sign_in(&account);
            visitor.flash("Your password was changed, and you were logged out everywhere else");
            Ok(visitor.redirect("/-/account"))
        }
        Err(status) => match status.code() {
            Code::Unauthenticated => page(&visitor, Some("Invalid password")),
            Code::Aborted => Ok(ended(visitor)),
            _ => Err(status.into()),
        },
    }
}

fn objection(new: &str, again: &str) -> Option<&'static str> {
    if new.is_empty() {
        return Some("You have to enter a password");
    }
    if new != again {
        return Some("The two passwords do not match");
    }
    let too_much = new.len() > PASSWORD_BYTES_MAX || new.contains('\0');
    too_much.then_some("The password is too long, or has a NUL character")
}

pub(super) async fn end_sessions(State(app): State<App>, mut visitor: Visitor) -> PageAnswer {
    let me = visitor.confirmed()?;
    match app
        .0
        .backend
        .accounts
        .end_sessions(me.id, me.epoch, visitor.deadline)
        .await
    {
        Ok(_) => {
            visitor.sign_out();
            visitor.flash("You were logged out everywhere");
            Ok(visitor.redirect("/public"))
        }
        Err(status) if status.code() == Code::Aborted => Ok(ended(visitor)),
        Err(status) => Err(status.into()),
    }
}

/// Deletes the account and everything it wrote.
pub(super) async fn delete(State(app): State<App>, mut visitor: Visitor, body: Body) -> PageAnswer {
    let me = visitor.confirmed()?;
    let form = Form::read(body, visitor.deadline).await?;
    let address = visitor.origin.client.map(|address| address.to_string());
    let check = PasswordCheck {
        username: me.username,
        password: form.text("password").to_owned(),
        client_address: address.unwrap_or_default(),
    };
    let deadline = Deadline::after(SIGN_IN_BUDGET);
    match app.0.backend.deletions.delete(me.id, check, deadline).await {
        Ok(()) => {
            visitor.sign_out();
            visitor.flash("Your account was deleted, and everything you wrote");
            Ok(visitor.redirect("/public"))
        }
        Err(status) => match status.code() {
            Code::Unauthenticated => page(&visitor, Some("Invalid password")),
            Code::NotFound => Ok(ended(visitor)),
            _ => Err(status.into()),
        },
    }
}

/// For somebody whose session has ended between the look at it and the deed.
fn ended(mut visitor: Visitor) -> Response {
    visitor.sign_out();
    visitor.redirect("/login")
}
