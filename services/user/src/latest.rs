//! How far each API client has come, and the SQL that keeps it.

use std::{collections::HashMap, future::Future};

use chassis::per_item::{WriteOutcome, last_writes};
use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

/// A client's new `latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestUpdate {
    /// The client's name.
    pub client: String,
    /// The id of the last action that it sent.
    pub latest: i64,
    /// The key of the write; the greatest one wins.
    pub stamp: Uuid,
}

/// Where the `latest` of API clients is kept. Every method answers item by item, in the order asked.
pub trait ApiClientStore: Send + Sync + 'static {
    /// Stores new values; the one with the greatest stamp wins.
    fn set_latest(
        &self,
        updates: Vec<LatestUpdate>,
    ) -> impl Future<Output = Result<Vec<WriteOutcome>, StoreError>> + Send;

    /// Reads values: of a client, or of the one that wrote last when the name is empty.
    fn latest(
        &self,
        clients: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<i64>>, StoreError>> + Send;
}

/// The `latest` of API clients in an SQL database.
#[derive(Debug)]
pub struct SqlApiClientStore {
    db: Db,
    set: Statement,
    stamps: Statement,
    read: Statement,
}

impl SqlApiClientStore {
    /// A store over a database whose schema is up to date.
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

    /// The stamps of those clients that a greater one, or this very write, was there before.
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
        let refused: HashMap<&str, Uuid> = last
            .iter()
            .filter(|update| !applied.iter().any(|(client,)| *client == update.client))
            .map(|update| (update.client.as_str(), update.stamp))
            .collect();
        let clients = refused.keys().map(|&client| client.to_owned()).collect();
        let stored = self.stored_stamps(clients).await?;
        let own = |update: &LatestUpdate| {
            // A greater stamp of this very batch is an overtaking among the living, hence success.
            let winner = refused.get(update.client.as_str())?;
            Some(WriteOutcome::from_stamps(
                *winner,
                *stored.get(&update.client)?,
            ))
        };
        Ok(updates
            .iter()
            .map(|update| own(update).unwrap_or(WriteOutcome::Applied))
            .collect())
    }

    async fn latest(&self, clients: Vec<String>) -> Result<Vec<Option<i64>>, StoreError> {
        let input = vec![Column::Text(clients)];
        let values: Vec<(Option<i64>,)> = self.read.fetch(&self.db, input).await?;
        Ok(values.into_iter().map(|(latest,)| latest).collect())
    }
}
