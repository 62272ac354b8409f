//! One of many who write through one gateway and read through the other.

use std::sync::PoisonError;

use serde_json::Value;

use crate::{
    http::{Answer, Client},
    suite::Gateway,
};

use super::Tally;

/// Enough for all that the others may have posted in between.
const MESSAGES: u64 = 200;

/// Counts what a gateway has acknowledged before it was stored.
const DEFERRED: &str = "minitwit_latest_deferred_total";

/// A worker with a user of its own.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    number: u64,
    workers: u64,
    /// Where this turn writes, and where it reads.
    gateways: [Side; 2],
    tally: &'a Tally,
    turn: u64,
}

/// A gateway as one worker talks to it.
#[derive(Debug)]
struct Side {
    api: Client,
    admin: Client,
}

/// What a pair of a write and a read has shown.
enum Shown {
    Written,
    /// It is not there; the answer that should show it.
    Missing(String),
    /// It is not there, and the gateway counted that it would not be yet.
    Deferred,
}

/// A request that has no answer to judge by.
type Failure = String;

impl<'a> Worker<'a> {
    pub(crate) fn new(number: u64, workers: u64, gateways: [Gateway; 2], tally: &'a Tally) -> Self {
        Self {
            number,
            workers,
            gateways: gateways.map(|gateway| Side {
                api: Client::new(gateway.api),
                admin: Client::new(gateway.admin),
            }),
            tally,
            turn: 0,
        }
    }

    /// Takes pairs until there are enough.
    pub(crate) fn work(&mut self) {
        self.join();
        self.tally.registered.wait();
        while self.tally.goes_on() {
            let (what, shown) = self.pair();
            self.count(what, shown);
        }
    }

    /// Registers, however busy the machine is: everything else needs the account.
    fn join(&mut self) {
        let turn = self.tally.registration.lock();
        let _turn = turn.unwrap_or_else(PoisonError::into_inner);
        let mut is_there = false;
        while !is_there && self.tally.goes_on() {
            let shown = self.register();
            is_there = shown.is_ok();
            self.count("the account", shown);
        }
    }

    fn count(&mut self, what: &str, shown: Result<Shown, Failure>) {
        match shown {
            Ok(Shown::Written) => self.tally.hold(),
            Ok(Shown::Missing(answer)) => {
                let (user, turn) = (user(self.number), self.turn);
                self.tally.violate(&format!(
                    "{what} of {user}, turn {turn}, not as in: {answer}"
                ));
            }
            Ok(Shown::Deferred) => self.tally.defer(),
            Err(failure) => self.tally.fail(&format!("{what}: {failure}")),
        }
        // The other way round next time.
        self.gateways.swap(0, 1);
        self.turn += 1;
    }

    fn pair(&mut self) -> (&'static str, Result<Shown, Failure>) {
        // `latest` is the site's, so only one may move it.
        if self.number == 0 {
            return ("latest", self.move_latest());
        }
        match self.turn % 4 {
            0 => ("the message in all", self.post("/msgs")),
            1 => (
                "the message in the author's",
                self.post(&format!("/msgs/{}", user(self.number))),
            ),
            2 => ("the follow", self.follow("follow", true)),
            _ => ("the unfollow", self.follow("unfollow", false)),
        }
    }

    /// An account that was asked for before it was there.
    fn register(&mut self) -> Result<Shown, Failure> {
        let name = user(self.number);
        let path = format!("/msgs/{name}");
        let early = self.read(&path)?;
        match early.status {
            404 => {}
            // By an earlier attempt that had no answer.
            200 => return Ok(Shown::Written),
            status => return Err(format!("{path} before the registration: {status}")),
        }
        let body =
            format!(r#"{{"username":"{name}","email":"{name}@example.org","pwd":"secret"}}"#);
        self.write("/register", &body)?;
        let late = self.read(&path)?;
        match late.status {
            404 => Ok(judge(false, &late)),
            _ => success(&path, late).map(|_| Shown::Written),
        }
    }

    fn post(&mut self, path: &str) -> Result<Shown, Failure> {
        let content = format!("turn {} of {}", self.turn, user(self.number));
        let body = format!(r#"{{"content":"{content}"}}"#);
        self.write(&format!("/msgs/{}", user(self.number)), &body)?;
        let answer = self.list(&format!("{path}?no={MESSAGES}"))?;
        let messages = parse(&answer)?;
        let is_ours = |message: &Value| message["content"] == *content;
        let is_there = messages
            .as_array()
            .is_some_and(|list| list.iter().any(is_ours));
        Ok(judge(is_there, &answer))
    }

    /// Follows a neighbour, or takes that back in the turn after.
    fn follow(&mut self, verb: &str, expected: bool) -> Result<Shown, Failure> {
        let neighbour = user((self.number + 1 + self.turn / 4) % self.workers);
        let path = format!("/fllws/{}", user(self.number));
        self.write(&path, &format!(r#"{{"{verb}":"{neighbour}"}}"#))?;
        let answer = self.list(&format!("{path}?no=1000"))?;
        let names = parse(&answer)?;
        let is_there = names["follows"]
            .as_array()
            .is_some_and(|list| list.contains(&neighbour.into()));
        Ok(judge(is_there == expected, &answer))
    }

    fn move_latest(&mut self) -> Result<Shown, Failure> {
        let turn = self.turn;
        let deferred = self.deferred()?;
        // Reads move it as well as writes do.
        if turn.is_multiple_of(2) {
            let path = format!("/msgs/{}?latest={turn}", user(self.number));
            self.write(&path, r#"{"content":"on we go"}"#)?;
        } else {
            let path = format!("/msgs/{}?no=1&latest={turn}", user(self.number));
            let moved = self.gateways[0]
                .api
                .get(&path)
                .map_err(|error| error.to_string())?;
            success(&path, moved)?;
        }
        let answer = self.list("/latest")?;
        let is_there = parse(&answer)?["latest"] == turn;
        if !is_there && self.deferred()? > deferred {
            return Ok(Shown::Deferred);
        }
        Ok(judge(is_there, &answer))
    }

    /// How often this turn's first gateway has acknowledged a `latest` that is stored later.
    fn deferred(&mut self) -> Result<u64, Failure> {
        let metrics = self.gateways[0].admin.get("/metrics");
        let metrics = success("/metrics", metrics.map_err(|error| error.to_string())?)?;
        let count = metrics
            .body
            .lines()
            .find_map(|line| line.strip_prefix(DEFERRED)?.trim().parse().ok());
        count.ok_or_else(|| format!("/metrics: no {DEFERRED}"))
    }

    /// Writes through this turn's first gateway; returns when it is acknowledged.
    fn write(&mut self, path: &str, body: &str) -> Result<(), Failure> {
        let answer = self.gateways[0].api.post(path, body);
        success(path, answer.map_err(|error| error.to_string())?).map(drop)
    }

    /// Reads through the other one.
    fn read(&mut self, path: &str) -> Result<Answer, Failure> {
        self.gateways[1]
            .api
            .get(path)
            .map_err(|error| error.to_string())
    }

    fn list(&mut self, path: &str) -> Result<Answer, Failure> {
        let answer = self.read(path)?;
        success(path, answer)
    }
}

fn user(number: u64) -> String {
    format!("worker{number}")
}

fn success(path: &str, answer: Answer) -> Result<Answer, Failure> {
    match answer.status {
        200..300 => Ok(answer),
        status => Err(format!("{path}: {status} {}", answer.body)),
    }
}

fn parse(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_str(&answer.body).map_err(|error| error.to_string())
}

fn judge(is_there: bool, answer: &Answer) -> Shown {
    if is_there {
        Shown::Written
    } else {
        Shown::Missing(format!("{} {}", answer.status, answer.body))
    }
}
