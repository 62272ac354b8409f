//! Contracts of the stores of operators, of moderators and of deletions.

use minitwit_message::{
    deletion::store::DeletionStore,
    moderation::store::ModerationStore,
    operator::store::{ImportedMessage, OperatorStore},
    store::MessageStore,
};
use minitwit_proto::limits::{DELETE_ITEMS_MAX, FLAGGED_MESSAGES_MAX};
use uuid::Uuid;

use crate::{
    Stores,
    support::{all, by, everybody, flag, listed, message, post, update},
};

const NO_MESSAGES: [Uuid; 0] = [];

fn imported(id: Uuid, author: Uuid, flagged: bool) -> ImportedMessage {
    ImportedMessage {
        message: message(id, author, "from another system"),
        flagged_by: flagged.then(|| "the old system".to_owned()),
    }
}

pub(crate) async fn an_import_reports_which_messages_had_been_stored_before(stores: Stores) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let [first, second] = [1_000, 2_000].map(|millis| chassis::stamp::from_name(millis, 7));
    let import = async |messages| stores.operators.import(messages).await.unwrap();

    let one = vec![imported(first, alice, false)];
    assert_eq!(import(one.clone()).await, [false]);
    let both = vec![imported(second, bob, false), one[0].clone()];
    assert_eq!(import(both).await, [false, true]);
    assert_eq!(
        listed(&stores.messages, all(everybody())).await,
        [second, first]
    );
}

pub(crate) async fn a_flag_that_is_set_here_takes_precedence_over_an_imported_flag(stores: Stores) {
    let alice = Uuid::now_v7();
    let id = chassis::stamp::from_name(1_000, 7);
    let hidden = vec![imported(id, alice, true)];
    stores.operators.import(hidden.clone()).await.unwrap();
    assert_eq!(
        listed(&stores.messages, all(everybody())).await,
        NO_MESSAGES
    );

    let page = stores.moderation.flagged(Uuid::max()).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].flagged_by.as_deref(), Some("the old system"));
    assert_eq!(page[0].flag_stamp, Some(id));

    flag(&stores.messages, id, false).await.unwrap();
    stores.operators.import(hidden).await.unwrap();
    assert_eq!(listed(&stores.messages, all(everybody())).await, [id]);
    assert_eq!(stores.moderation.flagged(Uuid::max()).await.unwrap(), []);
}

pub(crate) async fn flagged_messages_are_listed_page_by_page_with_the_latest_flag_first(
    stores: Stores,
) {
    let alice = Uuid::now_v7();
    let mut ids = Vec::new();
    for _ in 0..FLAGGED_MESSAGES_MAX + 5 {
        ids.push(post(&stores.messages, alice).await);
    }
    // The oldest message is flagged last.
    let moderator = Uuid::now_v7();
    for id in ids.iter().rev() {
        let mut update = update(*id, true, Uuid::now_v7());
        update.moderator_id = moderator;
        stores.messages.set_flags(vec![update]).await.unwrap();
    }
    let first = stores.moderation.flagged(Uuid::max()).await.unwrap();
    let last = first.last().unwrap();
    assert_eq!(last.flagged_by_id, Some(moderator));
    let second = stores.moderation.flagged(last.flag_stamp.unwrap()).await;
    let listed = first.iter().chain(second.as_ref().unwrap());
    let listed: Vec<Uuid> = listed.map(|flagged| flagged.message.id).collect();
    assert_eq!(listed, ids);
}

pub(crate) async fn an_export_has_all_messages_of_an_author_oldest_first(stores: Stores) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let kept = post(&stores.messages, alice).await;
    post(&stores.messages, bob).await;
    let hidden = post(&stores.messages, alice).await;
    flag(&stores.messages, hidden, true).await.unwrap();

    let export = async |after| {
        let page = stores.operators.export(alice, after).await.unwrap();
        let exported = page
            .iter()
            .map(|message| (message.message.id, message.flagged));
        exported.collect::<Vec<_>>()
    };
    assert_eq!(export(Uuid::nil()).await, [(kept, false), (hidden, true)]);
    assert_eq!(export(kept).await, [(hidden, true)]);
    assert_eq!(export(hidden).await, []);
}

pub(crate) async fn messages_of_an_author_are_deleted_in_several_calls(stores: Stores) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let kept = post(&stores.messages, bob).await;
    let many = |author| {
        let message = move |_| imported(Uuid::now_v7(), author, false);
        (0..DELETE_ITEMS_MAX + 10).map(message).collect::<Vec<_>>()
    };
    stores.operators.import(many(alice)).await.unwrap();
    let hidden = post(&stores.messages, alice).await;
    flag(&stores.messages, hidden, true).await.unwrap();

    let mut rounds = 0;
    while stores.deletions.delete(vec![alice]).await.unwrap() {
        rounds += 1;
    }
    assert_eq!(rounds, 2);
    assert_eq!(
        listed(&stores.messages, all(by(&[alice]))).await,
        NO_MESSAGES
    );
    assert_eq!(listed(&stores.messages, all(everybody())).await, [kept]);
    assert_eq!(stores.moderation.flagged(Uuid::max()).await.unwrap(), []);
}

pub(crate) async fn concurrent_writes_of_flags_do_not_deadlock(stores: Stores) {
    let mut ids = Vec::new();
    for _ in 0..40 {
        // Each message has its own author, so the order of the table is not the order of the ids.
        ids.push(post(&stores.messages, Uuid::new_v4()).await);
    }
    let flags = |ids: Vec<Uuid>| async {
        let ids = ids;
        for round in 0..15 {
            let updates = ids
                .iter()
                .map(|id| update(*id, round % 2 == 0, Uuid::now_v7()));
            let set = stores.messages.set_flags(updates.collect()).await.unwrap();
            assert!(set.iter().all(Option::is_some));
        }
    };
    let backwards = ids.iter().rev().copied().collect();
    tokio::join!(flags(ids.clone()), flags(backwards), flags(ids));
}
