//! `minitwit flag` and `unflag`: the moderator's tool.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chassis::{
    deadline::Deadline,
    pool::{Pool, PoolConfig},
    stamp::Clock,
};
use clap::Args;
use minitwit_proto::message::v1::{
    FlagUpdate, SetFlagsRequest, message_service_client::MessageServiceClient,
    message_service_server::SERVICE_NAME, set_flag_result::Outcome,
};
use uuid::Uuid;

/// Which messages, and where they are.
#[derive(Args, Clone, Debug)]
pub struct FlagArgs {
    /// The messages' ids, as their permalinks carry them
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<Uuid>,
    /// Where the message service is: host:port, several separated by commas
    #[arg(
        long,
        env,
        default_value = "127.0.0.1:5013",
        value_delimiter = ',',
        value_name = "LIST"
    )]
    pub message_service: Vec<String>,
    /// Who flags, for the record
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub moderator: String,
}

/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Flags the messages, or takes the flags back, and tells of each what came of it.
///
/// # Errors
///
/// The service cannot be reached, or there is no message of an id; the others are done all the
/// same.
pub async fn run(args: &FlagArgs, flagged: bool, tell: impl Fn(&str)) -> anyhow::Result<()> {
    let pool = Pool::connect(PoolConfig::new(SERVICE_NAME, args.message_service.clone()));
    let mut client = MessageServiceClient::new(pool);
    let clock = Clock::default();
    let mut waiting = args.ids.clone();
    let mut failed = 0;
    // A stamp that is overtaken by one from a clock ahead of ours is sent again, greater.
    while !waiting.is_empty() {
        let stamp = clock.stamp();
        let updates = waiting.iter().map(|id| FlagUpdate {
            message_id: id.as_bytes().to_vec().into(),
            flagged,
            stamp: stamp.as_bytes().to_vec().into(),
            moderator: args.moderator.clone(),
            ..FlagUpdate::default()
        });
        let request = SetFlagsRequest {
            updates: updates.collect(),
        };
        let response = client
            .set_flags(Deadline::after(PATIENCE).request(request))
            .await
            .with_context(|| {
                format!(
                    "asking the message service at {}",
                    args.message_service.join(",")
                )
            })?
            .into_inner();
        let mut again = Vec::new();
        for (id, result) in waiting.into_iter().zip(response.results) {
            match result.outcome {
                Some(Outcome::Applied(_)) => {
                    tell(&format!(
                        "{id} {}",
                        if flagged { "flagged" } else { "unflagged" }
                    ));
                }
                Some(Outcome::Superseded(superseded)) => {
                    clock.observe(Uuid::from_slice(&superseded.stored_stamp)?);
                    again.push(id);
                }
                Some(Outcome::Error(error)) => {
                    failed += 1;
                    tell(&format!("{id} failed: {}", error.message));
                }
                None => bail!("the message service did not answer for {id}"),
            }
        }
        waiting = again;
    }
    if failed > 0 {
        bail!(
            "{failed} of {} messages could not be changed",
            args.ids.len()
        );
    }
    Ok(())
}
