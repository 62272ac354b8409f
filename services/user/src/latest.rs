//! The `latest` of each API client, and its SQL.

use std::{collections::HashMap, future::Future};

use chassis::per_item::{WriteOutcome, last_writes};
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

/// New `latest` of an API client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestUpdate {
    /// Name of the client.
    pub client: String,
    /// Id of the last action that the client sent.
    pub latest: i64,
    /// Key of the write. For each client, only the write with the greatest stamp is kept.
    pub stamp: Uuid,
}

/// Store of the `latest` of API clients. Each method returns one result per item, in the order of its
/// argument.
pub trait ApiClientStore: Send + Sync + 'static {
    /// Stores new values. The write with the greatest stamp wins.
    fn set_latest(
        &self,
        updates: Vec<LatestUpdate>,
    ) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send;

    /// Reads values. An empty name stands for the client that wrote last.
    fn latest(
        &self,
        clients: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<i64>>, StoreError>> + Send;
}

/// Store of the `latest` of API clients in an SQL database.
#[derive(Debug)]
pub struct SqlApiClientStore {
    db: Db,
    set: Statement,
    stamps: Statement,
    read: Statement,
}

impl SqlApiClientStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Id, Int, Text};
        Self {
            db,
            set: Statement::new(
                Access::Write,
                "UPSERT api_client",
                "INSERT INTO api_client (client, latest, stamp)
                 SELECT client, latest, stamp FROM {input} WHERE true
                 ON CONFLICT (client)
                 DO UPDATE SET latest = excluded.latest, stamp = excluded.stamp
                 WHERE excluded.stamp > api_client.stamp
                 RETURNING client",
                &[("client", Text), ("latest", Int), ("stamp", Id)],
            ),
            stamps: Statement::new(
                Access::Read,
                "SELECT api_client stamp",
                "SELECT api_client.client, api_client.stamp
                 FROM {input} JOIN api_client ON api_client.client = input.wanted",
                &[("wanted", Text)],
            ),
            read: Statement::new(
                Access::Read,
                "SELECT api_client latest",
                "SELECT (SELECT latest FROM api_client
                         WHERE api_client.client = input.wanted OR input.wanted = ''
                         ORDER BY stamp DESC LIMIT 1)
                 FROM {input} ORDER BY ord",
                &[("wanted", Text)],
            ),
        }
    }

    /// Stored stamps of clients.
    async fn stored_stamps(
        &self,
        clients: Vec<String>,
    ) -> Result<HashMap<String, Uuid>, StoreError> {
        let input = vec![Column::Text(clients)];
        let stamps: Vec<(String, Uuid)> = self.stamps.fetch(&self.db, input).await?;
        Ok(stamps.into_iter().collect())
    }
}

impl ApiClientStore for SqlApiClientStore {
    async fn set_latest(
        &self,
        updates: Vec<LatestUpdate>,
    ) -> Result<Vec<WriteOutcome>, StoreError> {
        let last = last_writes(&updates, |update| &update.client, |update| update.stamp);
        let input = vec![
            Column::Text(last.iter().map(|update| update.client.clone()).collect()),
            Column::Int(last.iter().map(|update| update.latest).collect()),
            Column::Id(last.iter().map(|update| update.stamp).collect()),
        ];
        let applied: Vec<(String,)> = self.set.fetch(&self.db, input).await?;
        if applied.len() == last.len() {
            return Ok(vec![WriteOutcome::Applied; updates.len()]);
        }
        let unchanged: HashMap<&str, Uuid> = last
            .iter()
            .filter(|update| !applied.iter().any(|(client,)| *client == update.client))
            .map(|update| (update.client.as_str(), update.stamp))
            .collect();
        let clients = unchanged.keys().map(|&client| client.to_owned()).collect();
        let stored = self.stored_stamps(clients).await?;
        let outcome = |update: &LatestUpdate| {
            // If a write of this batch has a greater stamp, the two were concurrent. The smaller one counts
            // as applied first, so both have the outcome of the write with the greatest stamp.
            let greatest = unchanged.get(update.client.as_str())?;
            Some(WriteOutcome::from_stamps(
                *greatest,
                *stored.get(&update.client)?,
            ))
        };
        Ok(updates
            .iter()
            .map(|update| outcome(update).unwrap_or(WriteOutcome::Applied))
            .collect())
    }

    async fn latest(&self, clients: Vec<String>) -> Result<Vec<Option<i64>>, StoreError> {
        let input = vec![Column::Text(clients)];
        let values: Vec<(Option<i64>,)> = self.read.fetch(&self.db, input).await?;
        Ok(values.into_iter().map(|(latest,)| latest).collect())
    }
}
