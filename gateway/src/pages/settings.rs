//! `/-/account`, password, sessions and deletion of the visitor's account.

use askama::Template;
use axum::{body::Body, extract::State, response::Response};
use chassis::deadline::Deadline;
use minitwit_proto::user::v1::{PasswordChange, PasswordCheck};
use tonic::Code;

use super::{
    PageResult, csrf::StateChange, error::PageError, form::Form, layout::Layout,
    request::PageRequest, visitor::Visitor,
};
use crate::{
    App, SIGN_IN_BUDGET,
    validate::{self, InvalidInput},
};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    layout: Layout<'a>,
    name: &'a str,
    error: Option<&'a str>,
}

/// `/-/account` shows the forms.
pub(super) async fn show(request: PageRequest) -> PageResult {
    page(&request.verify_session().await, None)
}

/// Redirects to the page of the forms, for a GET request to the address of a form.
pub(super) async fn form(request: PageRequest) -> Response {
    request.verify_session().await.redirect("/-/account")
}

fn page(visitor: &Visitor, error: Option<&str>) -> PageResult {
    let Some(account) = &visitor.account else {
        return Err(PageError::unauthorized());
    };
    Ok(visitor.page(&SettingsPage {
        layout: visitor.layout(""),
        name: &account.username,
        error,
    }))
}

/// `/-/account/password` changes the password and ends all other sessions.
pub(super) async fn change_password(
    State(app): State<App>,
    state_change: StateChange,
    request: PageRequest,
    body: Body,
) -> PageResult {
    let mut visitor = request.verify_session().await;
    let me = visitor.confirmed(&state_change)?;
    let form = Form::read(body, visitor.deadline).await?;
    let [old, new, repeated] = ["password", "new", "new2"].map(|name| form.text(name));
    if let Err(InvalidInput(error)) = validate::new_password(new, repeated) {
        return page(&visitor, Some(&error));
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
            visitor.sign_in(&account, &state_change);
            visitor.flash("Your password was changed, and you were logged out everywhere else");
            Ok(visitor.redirect("/-/account"))
        }
        Err(status) => match status.code() {
            Code::Unauthenticated => page(&visitor, Some("Invalid password")),
            Code::Aborted => Ok(session_ended(visitor, &state_change)),
            _ => Err(status.into()),
        },
    }
}

/// `/-/account/sessions` ends all sessions of the account.
pub(super) async fn end_sessions(
    State(app): State<App>,
    state_change: StateChange,
    request: PageRequest,
) -> PageResult {
    let mut visitor = request.verify_session().await;
    let me = visitor.confirmed(&state_change)?;
    match app
        .0
        .backend
        .accounts
        .end_sessions(me.id, me.epoch, visitor.deadline)
        .await
    {
        Ok(_) => {
            visitor.sign_out(&state_change);
            visitor.flash("You were logged out everywhere");
            Ok(visitor.redirect("/public"))
        }
        Err(status) if status.code() == Code::Aborted => Ok(session_ended(visitor, &state_change)),
        Err(status) => Err(status.into()),
    }
}

/// `/-/account/delete` deletes the account and its messages.
pub(super) async fn delete(
    State(app): State<App>,
    state_change: StateChange,
    request: PageRequest,
    body: Body,
) -> PageResult {
    let mut visitor = request.verify_session().await;
    let me = visitor.confirmed(&state_change)?;
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
            visitor.sign_out(&state_change);
            visitor.flash("Your account and all your messages were deleted");
            Ok(visitor.redirect("/public"))
        }
        Err(status) => match status.code() {
            Code::Unauthenticated => page(&visitor, Some("Invalid password")),
            Code::NotFound => Ok(session_ended(visitor, &state_change)),
            _ => Err(status.into()),
        },
    }
}

/// Response for a session that ended after its verification and before the action.
fn session_ended(mut visitor: Visitor, state_change: &StateChange) -> Response {
    visitor.sign_out(state_change);
    visitor.redirect("/login")
}
