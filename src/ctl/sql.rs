//! What a running engine tells of itself over its socket, as user `postgres`: what would hold up a stop.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::{NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::evidence::bytes;
use super::time;
use super::volume::sockets_of;
use crate::control::protocol::{Condition, Effect, Engine};

/// How long all of it may take: an engine that hangs is what is to be explained.
const WITHIN: Duration = Duration::from_secs(2);

/// Slots that nobody reads. Their WAL is kept without limit; on PolarDB a stop waits for them for ever.
const SLOTS: &str = "select slot_name, coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() \
    then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn), 0)::bigint \
    from pg_replication_slots where not active order by 2 desc limit 5";
/// Transactions that have been open for long.
const TRANSACTIONS: &str = "select pid, usename, state, extract(epoch from now() - xact_start)::bigint \
    from pg_stat_activity where backend_type = 'client backend' and xact_start < now() - interval '5 minutes' \
    order by xact_start limit 5";
/// Prepared transactions outlive restarts and hold their locks.
const PREPARED: &str = "select gid, extract(epoch from now() - prepared)::bigint from pg_prepared_xacts \
    order by prepared limit 5";

/// The conditions that SQL tells of, or one that says why it does not.
pub(crate) fn conditions(engine: &Engine) -> Vec<Condition> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = match runtime {
        Ok(runtime) => runtime.block_on(async {
            match tokio::time::timeout(WITHIN, ask(engine)).await {
                Ok(asked) => asked,
                Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
            }
        }),
        Err(error) => Err(error.to_string()),
    };
    asked.unwrap_or_else(|error| {
        let text = format!("slots, long and prepared transactions were not asked for: {error}");
        vec![Condition { name: "sql".to_owned(), effect: Effect::Unknown, text }]
    })
}

async fn ask(engine: &Engine) -> Result<Vec<Condition>, String> {
    let mut last = "its socket is not in reach from here".to_owned();
    for (folder, port) in sockets_of(engine).iter().filter(|(folder, _)| folder.is_dir()) {
        match ask_at(folder, *port).await {
            Ok(conditions) => return Ok(conditions),
            Err(error) => last = format!("at port {port} in {}: {}", folder.display(), in_words(&error)),
        }
    }
    Err(last)
}

/// The server's own words, where it has said any.
fn in_words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}

async fn ask_at(folder: &Path, port: u16) -> Result<Vec<Condition>, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(folder)
        .port(port)
        .user("postgres")
        .dbname("postgres")
        .application_name("polarctl explain");
    config.options("-c statement_timeout=2000 -c default_transaction_read_only=on");
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let mut conditions = Vec::new();
    for (name, query, judge) in [
        ("slots", SLOTS, slots as fn(&[SimpleQueryRow]) -> (Effect, String)),
        ("transactions", TRANSACTIONS, transactions),
        ("prepared", PREPARED, prepared),
    ] {
        let messages = client.simple_query(query).await?;
        let rows: Vec<SimpleQueryRow> = messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect();
        let (effect, text) = judge(&rows);
        conditions.push(Condition { name: name.to_owned(), effect, text });
    }
    drop(client);
    // Ends the session in order, by which the server writes no line about it.
    let _ = connection.await;
    Ok(conditions)
}

fn word(row: &SimpleQueryRow, column: usize) -> &str {
    row.try_get(column).ok().flatten().unwrap_or("?")
}

fn seconds(row: &SimpleQueryRow, column: usize) -> String {
    word(row, column)
        .parse()
        .map_or_else(|_| "?".to_owned(), |seconds| time::span(Duration::from_secs(seconds)))
}

fn listed(
    rows: &[SimpleQueryRow],
    none: &str,
    some: &str,
    one: impl Fn(&SimpleQueryRow) -> String,
) -> (Effect, String) {
    if rows.is_empty() {
        return (Effect::Allows, none.to_owned());
    }
    let mut text = some.to_owned();
    for (place, row) in rows.iter().enumerate() {
        let _ = write!(text, "{} {}", if place == 0 { ":" } else { "," }, one(row));
    }
    (Effect::Warns, text)
}

fn slots(rows: &[SimpleQueryRow]) -> (Effect, String) {
    let some = "slots that nobody reads keep their WAL, and on PolarDB hold up a fast stop until it goes immediate (bring the \
                reader back, or pg_drop_replication_slot)";
    listed(rows, "no replication slot is without its reader", some, |row| {
        let kept = word(row, 1).parse().map_or_else(|_| "?".to_owned(), bytes);
        format!("{} ({kept})", word(row, 0))
    })
}

fn transactions(rows: &[SimpleQueryRow]) -> (Effect, String) {
    let some = "open for more than 5 minutes; they hold back vacuum, and a fast stop rolls them back";
    listed(rows, "no session has a transaction open for more than 5 minutes", some, |row| {
        format!("process {} of {}, {}, for {}", word(row, 0), word(row, 1), word(row, 2), seconds(row, 3))
    })
}

fn prepared(rows: &[SimpleQueryRow]) -> (Effect, String) {
    let some =
        "prepared transactions hold their locks over restarts, until COMMIT PREPARED or ROLLBACK PREPARED";
    listed(rows, "no prepared transaction waits for its end", some, |row| {
        format!("{} for {}", word(row, 0), seconds(row, 1))
    })
}
