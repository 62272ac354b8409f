//! Flags of messages, which only moderators can see and change.

use minitwit::{
    address::SuiteArgs,
    user::{self, UserArgs, UserCommand},
};

use crate::{
    between,
    harness::{Running, person::Person},
    has,
};

pub(crate) async fn set_moderator(suite: &Running, name: &str, remove: bool) {
    let args = UserArgs {
        command: UserCommand::Moderator {
            name: name.to_owned(),
            remove,
        },
        suite: SuiteArgs {
            suite: suite.services.into(),
        },
    };
    user::run(&args, &|_| ()).await.unwrap();
}

#[tokio::test]
async fn a_moderator_flags_a_message_and_removes_the_flag() {
    let suite = Running::new().await;
    let mut author = Person::signed_in(suite.pages, "author").await;
    author.share("good words").await;
    author.share("bad words").await;
    let mut moderator = Person::signed_in(suite.pages, "moderator").await;
    let before = moderator.visit("/public").await;
    assert!(!before.contains("Flag"), "{before}");

    set_moderator(&suite, "moderator", false).await;
    let page = moderator.visit("/public").await;
    let paths = between(&page, "action=\"", "/flag\"");
    assert_eq!(paths.len(), 2);
    let message = paths[0];
    let alone = moderator.visit(message).await;
    has(&alone, &["bad words", "value=\"Flag\""]);
    // The cache separates lists with and without buttons.
    let plain = author.visit("/public").await;
    assert!(!plain.contains("value=\"Flag\""), "{plain}");

    let page = moderator.submit(&format!("{message}/flag"), &[]).await;
    has(&page, &["The message is flagged", "good words"]);
    assert!(!page.contains("bad words"), "{page}");
    assert_eq!(author.get(message).await.status, 404);

    let list = moderator.visit("/-/flagged").await;
    has(&list, &["bad words", "flagged by moderator", "author</a>"]);
    let page = moderator.submit(&format!("{message}/unflag"), &[]).await;
    has(&page, &["The message is listed again", "bad words"]);
    has(
        &moderator.visit("/-/flagged").await,
        &["Nothing is flagged."],
    );
    suite.stop().await;
}

#[tokio::test]
async fn accounts_that_are_not_moderators_cannot_flag() {
    let suite = Running::new().await;
    let mut author = Person::signed_in(suite.pages, "author").await;
    let mut other = Person::signed_in(suite.pages, "other").await;
    set_moderator(&suite, "author", false).await;
    author.share("words").await;
    let page = author.visit("/public").await;
    let message = between(&page, "action=\"", "/flag\"")[0].to_owned();
    set_moderator(&suite, "author", true).await;

    for person in [&mut author, &mut other] {
        assert_eq!(
            person.post(&format!("{message}/flag"), &[]).await.status,
            403
        );
        assert_eq!(person.get("/-/flagged").await.status, 403);
    }
    let mut anonymous = Person::new(suite.pages);
    assert_eq!(
        anonymous.post(&format!("{message}/flag"), &[]).await.status,
        401
    );
    assert_eq!(anonymous.get("/-/flagged").await.status, 401);
    has(&anonymous.visit("/public").await, &["words"]);
    suite.stop().await;
}

#[tokio::test]
async fn a_message_that_does_not_exist_cannot_be_flagged() {
    let suite = Running::new().await;
    let mut moderator = Person::signed_in(suite.pages, "moderator").await;
    set_moderator(&suite, "moderator", false).await;
    for id in ["nonsense", "00000000-0000-7000-8000-000000000000"] {
        let answer = moderator.post(&format!("/-/message/{id}/flag"), &[]).await;
        assert_eq!(answer.status, 404, "{id}");
    }
    suite.stop().await;
}
