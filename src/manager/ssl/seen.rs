//! What is found out before TLS is turned on or off.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::{self, Found};
use super::hello::{self, Answer};
use super::pem::Pem;
use super::{AUTHORITY, CERTIFICATE, KEY, Ssl, network, self_signed};
use crate::engine::conf;
use crate::manager::cause::Cause;
use crate::manager::operation::Operation;
use crate::manager::params::{self, Change, Scope, Wish};
use crate::manager::refusal::Shown;
use crate::manager::site::Site;

/// What is found out.
#[derive(Debug)]
pub struct Seen {
    pub(super) certificate_path: PathBuf,
    pub(super) key_path: PathBuf,
    /// Whether these are the files that are ours to write, and not others that the configuration names.
    pub(super) own: bool,
    pub(super) certificate: Option<Found>,
    pub(super) key: Option<Found>,
    pub(super) authority: Option<Found>,
    /// The name in a certificate that is made; `None`: there is no program that makes one.
    pub(super) host: Option<String>,
    pub(super) change: Change,
    pub(super) params: params::Seen,
    pub(super) running: Option<Running>,
}

/// What the server says.
#[derive(Debug)]
pub(super) struct Running {
    /// When it has read its files, in seconds since 1970.
    pub(super) loaded: f64,
    /// What it answers to clients; `None`: it listens on no TCP that is known.
    answer: Option<Answer>,
    /// Sessions that speak TLS.
    sessions: u64,
    /// Lines of `pg_hba.conf` that let in by TLS alone.
    rules: u64,
}

/// Finds it out.
///
/// # Errors
/// It could not be found out.
pub(super) fn look(ssl: &Ssl, site: &mut Site) -> Result<Seen, Cause> {
    let running = match site.shown()? {
        Shown::Up => Some(ask(site)?),
        Shown::Down => None,
    };
    let (settings, _) = site.as_owner(|| conf::read(&site.data_dir, &[]))?;
    let named = |name: &str, default: &str| settings.get(name).unwrap_or(default).to_owned();
    let names = (named("ssl_cert_file", CERTIFICATE), named("ssl_key_file", KEY));
    // What the configuration names elsewhere is somebody's choice, unless other files are given.
    let own = ssl.given.is_some() || names == (CERTIFICATE.to_owned(), KEY.to_owned());
    let (certificate, key) = if own { (CERTIFICATE.to_owned(), KEY.to_owned()) } else { names };
    let (certificate_path, key_path) = (site.data_dir.join(certificate), site.data_dir.join(key));
    let read = |path: &Path| if ssl.on { files::read(site, path) } else { Ok(None) };
    let (certificate, key) = (read(&certificate_path)?, read(&key_path)?);
    let authority = read(&site.data_dir.join(AUTHORITY))?;
    let change = Change {
        wishes: wishes(ssl, own),
        scope: Scope::Node,
        // It would shadow what is written.
        over_alter_system: running.is_some(),
        name: ssl.name(),
    };
    let host = self_signed::openssl().map(|_| self_signed::host());
    let params = change.look(site)?;
    Ok(Seen { certificate_path, key_path, own, certificate, key, authority, host, change, params, running })
}

fn wishes(ssl: &Ssl, own: bool) -> BTreeMap<String, Wish> {
    let set = |name: &str, value: &str| (name.to_owned(), Wish::Set(value.to_owned()));
    let mut wishes = BTreeMap::from([set("ssl", if ssl.on { "on" } else { "off" })]);
    if ssl.on && own {
        wishes.extend([set("ssl_cert_file", CERTIFICATE), set("ssl_key_file", KEY)]);
    }
    if ssl.given.as_ref().is_some_and(|given| given.authority.is_some()) {
        wishes.extend([set("ssl_ca_file", AUTHORITY)]);
    }
    wishes
}

fn ask(site: &mut Site) -> Result<Running, Cause> {
    let answer = answer(site)?;
    // The session that waits for a reload to be over: any other one may not have heard of it yet.
    let row = site.plain_session()?.row(
        "select extract(epoch from pg_catalog.pg_conf_load_time()), \
         (select pg_catalog.count(*) from pg_catalog.pg_stat_ssl where ssl), \
         (select pg_catalog.count(*) from pg_catalog.pg_hba_file_rules where type operator(pg_catalog.=) 'hostssl')",
    )?;
    let number = |column: usize| row.text(column).parse().unwrap_or(0);
    let loaded = row.text(0).parse().unwrap_or(0.0);
    Ok(Running { loaded, answer, sessions: number(1), rules: number(2) })
}

/// What the engine answers to clients of TCP; `None`: it listens on none that is known.
///
/// # Errors
/// The data directory cannot be looked at, or the engine does not answer.
pub(super) fn answer(site: &mut Site) -> Result<Option<Answer>, Cause> {
    let Some(pid_file) = site.seen()?.pid_file else { return Ok(None) };
    let address = pid_file.listen.as_deref().zip(pid_file.port);
    let Some(address) = address.and_then(|(listen, port)| hello::address(listen, port)) else {
        return Ok(None);
    };
    if !network::is_shared(site, address.port())? {
        return Ok(Some(Answer::Unreached("it listens in a network that is not this one".to_owned())));
    }
    Ok(Some(hello::ask(address)))
}

/// What in an answer is not as it is to be.
pub(super) fn contradiction(answer: Option<&Answer>, on: bool, expected: Option<&[u8]>) -> Option<String> {
    match (answer?, on) {
        (Answer::Plain, true) => Some("the engine speaks no TLS with these files".to_owned()),
        (Answer::Tls(_), false) => Some("the engine still speaks TLS".to_owned()),
        (Answer::Tls(Some(shown)), true) if expected.is_some_and(|expected| expected != shown.as_slice()) => {
            Some("the engine shows clients another certificate".to_owned())
        }
        _ => None,
    }
}

impl Seen {
    /// What a file holds, of those that are looked at.
    pub(super) fn text_of(&self, path: &Path) -> Option<Pem> {
        let found = if path == self.certificate_path {
            &self.certificate
        } else if path == self.key_path {
            &self.key
        } else {
            &self.authority
        };
        found.as_ref().map(|found| found.text.clone())
    }

    /// When the youngest of the files took its place, in seconds since 1970.
    pub(super) fn since(&self) -> f64 {
        let files = [&self.certificate, &self.key].into_iter().flatten();
        files.map(|found| found.since).fold(0.0, f64::max)
    }

    /// What in the engine's answer is not as it is to be.
    pub(super) fn contradicts(&self, on: bool, expected: Option<&[u8]>) -> Option<String> {
        contradiction(self.running.as_ref()?.answer.as_ref(), on, expected)
    }

    /// By what it shows whether the engine speaks TLS: `handshake`, `settings`, or `none` where it does not run.
    #[must_use]
    pub fn shown_by(&self) -> &'static str {
        match &self.running {
            None => "none",
            Some(Running { answer: Some(Answer::Tls(_) | Answer::Plain), .. }) => "handshake",
            Some(_) => "settings",
        }
    }
}

impl Running {
    pub(super) fn notes(&self, on: bool) -> Vec<String> {
        let mut notes = Vec::new();
        match &self.answer {
            None => notes.push(
                "the engine listens on no TCP address that is known here: its settings alone show it"
                    .to_owned(),
            ),
            Some(Answer::Unreached(why)) => {
                notes.push(format!("it could not be tried, its settings alone show it: {why}"));
            }
            Some(Answer::Tls(None)) if on => {
                notes.push(
                    "which certificate the engine shows could not be seen: it takes TLS 1.3 alone".to_owned(),
                );
            }
            Some(_) => {}
        }
        if !on && self.sessions > 0 {
            notes.push(format!("{} sessions speak TLS until they end", self.sessions));
        }
        if !on && self.rules > 0 {
            notes.push(format!(
                "pg_hba.conf has lines of type hostssl ({}), by which nobody comes in without TLS",
                self.rules
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts() {
        let shows = |der: &[u8]| Some(Answer::Tls(Some(der.to_vec())));
        for (answer, on, bad) in [
            (None, true, false),
            (Some(Answer::Unreached("x".into())), true, false),
            (Some(Answer::Plain), true, true),
            (Some(Answer::Plain), false, false),
            (Some(Answer::Tls(None)), true, false),
            (Some(Answer::Tls(None)), false, true),
            (shows(b"a"), true, false),
            (shows(b"b"), true, true),
        ] {
            let contradiction = contradiction(answer.as_ref(), on, Some(b"a"));
            assert_eq!(contradiction.is_some(), bad, "{answer:?} {on} {contradiction:?}");
        }
        assert_eq!(contradiction(shows(b"b").as_ref(), true, None), None);
    }
}
