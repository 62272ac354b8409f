//! Pages of flagged messages and of exports, and deletions, over gRPC.

use minitwit_proto::{
    limits::{EXPORT_ITEMS_MAX, FLAGGED_MESSAGES_MAX},
    message::v1::{
        DeleteMessagesRequest, ExportMessagesRequest, FlaggableMessage, ListFlaggedRequest,
        deletion_service_client::DeletionServiceClient,
        moderation_service_client::ModerationServiceClient,
        operator_service_client::OperatorServiceClient,
    },
};
use uuid::Uuid;

use crate::support::{flag, message, service, wire};

fn ids(messages: &[FlaggableMessage]) -> Vec<bytes::Bytes> {
    let messages = messages.iter().filter_map(|item| item.message.as_ref());
    messages.map(|message| message.id.clone()).collect()
}

#[tokio::test]
async fn flagged_messages_are_read_page_by_page() {
    let mut service = service().await;
    let sent: Vec<_> = (0..FLAGGED_MESSAGES_MAX + 5)
        .map(|_| message(Uuid::now_v7(), "hello"))
        .collect();
    service.create(sent.clone()).await;
    // The stamps ascend, so the last message has the latest flag.
    let flags = sent.iter().map(|sent| flag(&sent.id, true, Uuid::now_v7()));
    service.flag(flags.collect()).await;
    let latest_first: Vec<_> = sent.iter().rev().map(|sent| sent.id.clone()).collect();

    let channel = service.running.channel().await;
    let mut moderation = ModerationServiceClient::new(channel.clone());
    let first = moderation.list_flagged(ListFlaggedRequest::default()).await;
    let first = first.unwrap().into_inner();
    assert_eq!(first.messages.len(), FLAGGED_MESSAGES_MAX);
    let request = ListFlaggedRequest {
        page_token: first.next_page_token.clone(),
        ..ListFlaggedRequest::default()
    };
    let last = moderation.list_flagged(request.clone()).await;
    let last = last.unwrap().into_inner();
    assert!(last.next_page_token.is_empty());
    assert_eq!(
        [ids(&first.messages), ids(&last.messages)].concat(),
        latest_first
    );

    // A client of the operator service may name the stamp instead of the token.
    let by_stamp = ListFlaggedRequest {
        before_stamp: first.next_page_token,
        ..ListFlaggedRequest::default()
    };
    let mut operators = OperatorServiceClient::new(channel);
    for request in [request, by_stamp] {
        let page = operators.list_flagged(request).await.unwrap();
        assert_eq!(page.into_inner(), last);
    }
}

#[tokio::test]
async fn an_export_is_read_page_by_page_until_a_deletion_has_left_no_messages() {
    let mut service = service().await;
    let alice = Uuid::now_v7();
    let sent: Vec<_> = (0..EXPORT_ITEMS_MAX + 5)
        .map(|_| message(alice, "hello"))
        .collect();
    service.create(sent.clone()).await;
    let channel = service.running.channel().await;
    let mut operators = OperatorServiceClient::new(channel.clone());
    let mut request = ExportMessagesRequest {
        author_id: wire(alice),
        ..ExportMessagesRequest::default()
    };
    let mut exported = Vec::new();
    loop {
        let page = operators.export_messages(request.clone()).await.unwrap();
        let page = page.into_inner();
        exported.push(ids(&page.messages));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(exported.len(), 2);
    let sent: Vec<_> = sent.into_iter().map(|sent| sent.id).collect();
    assert_eq!(exported.concat(), sent);

    let mut deletions = DeletionServiceClient::new(channel);
    let request = DeleteMessagesRequest {
        author_ids: vec![wire(alice)],
    };
    let mut more = Vec::new();
    for _ in 0..2 {
        let response = deletions.delete_messages(request.clone()).await.unwrap();
        more.push(response.into_inner().more);
    }
    let response = operators.delete_messages(request).await.unwrap();
    more.push(response.into_inner().more);
    assert_eq!(more, [true, true, false]);
}
