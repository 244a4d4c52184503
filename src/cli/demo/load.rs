//! Many clients at once, each running short transactions with pauses between them, and each
//! checking that every answer is its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::client::{Client, ClientError, Login};
use super::error::DemoError;

/// Names that clients give themselves, in turns, so that the session parameters of neighbours
/// differ.
const SERVICES: [&str; 4] = ["basket", "search", "orders", "mail"];
/// Stores a row that carries what its client calls itself.
const INSERT: &str = "INSERT INTO visits (nonce, service) \
                      VALUES ($1, current_setting('application_name')) RETURNING nonce, service";

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to, and as whom.
    pub login: Login,
    /// How many.
    pub clients: u32,
    /// For how long they begin transactions, from when all have logged in or been refused.
    pub length: Duration,
    /// The pause after a transaction: evenly from nothing to twice this.
    pub mean_pause: Duration,
    /// Tells the nonces of this load from those of others.
    pub number: u32,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Clients that were let in.
    pub let_in: u32,
    /// Clients refused with 53300 (too many connections), by what they were told.
    pub refused: BTreeMap<String, u32>,
    /// Clients that saw no transaction acknowledged though they had been let in.
    pub unserved: u32,
    /// Failures of any other kind, by their text. Each ended its client.
    pub failures: BTreeMap<String, u32>,
    /// Answers that were not the asking client's.
    pub foreign: u64,
    /// How long it took until all were let in or refused.
    pub logins_took: Duration,
    /// How long transactions ran, to the last one's end.
    pub took: Duration,
    /// The time of each acknowledged transaction from before BEGIN to after COMMIT, sorted.
    pub times: Vec<Duration>,
}

impl Tally {
    /// Transactions acknowledged.
    pub fn transactions(&self) -> u64 {
        self.times.len() as u64
    }

    /// Transactions acknowledged each second.
    pub fn rate(&self) -> f64 {
        self.transactions() as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// The time that this share of the transactions stayed within, in milliseconds: the nearest
    /// rank. 0 without any transaction.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.times.len() * percent).div_ceil(100).max(1);
        self.times.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }

    /// All clients that were refused for want of a connection.
    pub fn refused_count(&self) -> u32 {
        self.refused.values().sum()
    }

    /// All clients that failed in another way.
    pub fn failure_count(&self) -> u32 {
        self.failures.values().sum()
    }

    fn add_failure(&mut self, error: &ClientError) {
        *self.failures.entry(error.to_string()).or_default() += 1;
    }
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    times: Vec<Duration>,
    foreign: u64,
    failure: Option<ClientError>,
}

impl Load {
    /// Runs it to its end.
    ///
    /// Cancel safe: all clients are gone when this is dropped.
    pub async fn run(self) -> Result<Tally, DemoError> {
        let mut tally = Tally::default();
        let clients = self.log_in(&mut tally).await?;
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for visitor in clients {
            tasks.spawn(visitor.visit(began + self.length, self.mean_pause));
        }
        while let Some(seen) = tasks.join_next().await {
            let seen = seen.map_err(broken)?;
            tally.unserved += u32::from(seen.times.is_empty());
            tally.foreign += seen.foreign;
            tally.times.extend(seen.times);
            if let Some(error) = &seen.failure {
                tally.add_failure(error);
            }
        }
        tally.took = began.elapsed();
        tally.times.sort_unstable();
        Ok(tally)
    }

    /// Logs all of them in at once. Those who were let in stay while the others try.
    async fn log_in(&self, tally: &mut Tally) -> Result<Vec<Visitor>, DemoError> {
        let began = Instant::now();
        let mut logins = JoinSet::new();
        for (number, service) in (0..self.clients).zip(SERVICES.into_iter().cycle()) {
            let login = Login { application_name: service.into(), ..self.login.clone() };
            let first_nonce = i64::from(self.number) << 48 | i64::from(number) << 32;
            logins.spawn(async move {
                let client = Client::log_in(&login).await?;
                Ok(Visitor { client, service, nonce: first_nonce })
            });
        }
        let mut visitors = Vec::new();
        while let Some(outcome) = logins.join_next().await {
            match outcome.map_err(broken)? {
                Ok(visitor) => visitors.push(visitor),
                Err(ClientError::Refused(report)) if report.sqlstate == *b"53300" => {
                    *tally.refused.entry(report.message.into_owned()).or_default() += 1;
                }
                Err(error) => tally.add_failure(&error),
            }
        }
        tally.let_in = u32::try_from(visitors.len()).unwrap_or(u32::MAX);
        tally.logins_took = began.elapsed();
        Ok(visitors)
    }
}

fn broken(error: tokio::task::JoinError) -> DemoError {
    DemoError::Broken(format!("a client of the demo broke: {error}"))
}

/// A client with what its answers must carry.
#[derive(Debug)]
struct Visitor {
    client: Client,
    service: &'static str,
    /// The last one used. Invariant: no other visitor ever has it.
    nonce: i64,
}

impl Visitor {
    async fn visit(mut self, end: Instant, mean_pause: Duration) -> Seen {
        let mut seen = Seen::default();
        let mut dice = Dice(self.nonce.unsigned_abs());
        loop {
            let pause = mean_pause.mul_f64(2.0 * dice.roll());
            sleep_until((Instant::now() + pause).min(end).into()).await;
            if Instant::now() >= end {
                self.client.leave().await;
                return seen;
            }
            let began = Instant::now();
            match self.transaction().await {
                Ok(foreign) => {
                    seen.times.push(began.elapsed());
                    seen.foreign += foreign;
                }
                Err(error) => {
                    seen.failure = Some(error);
                    return seen;
                }
            }
        }
    }

    /// One transaction of four round trips; gives the number of answers that were not ours.
    async fn transaction(&mut self) -> Result<u64, ClientError> {
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let own = [Some(nonce.clone()), Some(self.service.to_owned())];
        let mut foreign = 0;
        self.client.query("BEGIN").await?;
        let inserted = self.client.execute(INSERT, &[&nonce]).await?;
        foreign += u64::from(inserted.row() != Some(&own));
        let text = format!(
            "SELECT nonce, current_setting('application_name') FROM visits WHERE nonce = {nonce}"
        );
        let read = self.client.query(&text).await?;
        foreign += u64::from(read.row() != Some(&own));
        match self.client.query("COMMIT").await?.command.as_str() {
            "COMMIT" => Ok(foreign),
            _ => Err(ClientError::Protocol("COMMIT was answered with another command tag")),
        }
    }
}

/// Numbers good enough for pauses (splitmix64).
struct Dice(u64);

impl Dice {
    /// Evenly from 0 to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let of = |count: u64, percent| {
            let times = (1..=count).map(Duration::from_millis).collect();
            Tally { times, ..Tally::default() }.percentile_ms(percent)
        };
        assert_eq!(of(0, 50), 0.0);
        assert_eq!(of(1, 50), 1.0);
        assert_eq!(of(1, 99), 1.0);
        assert_eq!(of(100, 50), 50.0);
        assert_eq!(of(100, 99), 99.0);
        assert_eq!(of(1000, 99), 990.0);
        assert_eq!(of(3, 50), 2.0);
    }

    #[test]
    fn pauses_are_spread_evenly() {
        let mut dice = Dice(7);
        let rolls: Vec<f64> = (0..10_000).map(|_| dice.roll()).collect();
        assert!(rolls.iter().all(|roll| (0.0..1.0).contains(roll)));
        let mean = rolls.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }
}
