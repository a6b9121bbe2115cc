//! `ssl enable` and `ssl disable`: whether the engine speaks TLS, and with which certificate.
//!
//! | module | what it does |
//! |---|---|
//! | `pem` | certificates and keys, and whether they fit |
//! | `files` | the files in the data directory |
//! | `self_signed` | a certificate that vouches for itself |
//! | `hello` | what a server answers to a client that asks for TLS |
//! | `network` | whether the engine's port is ours to ask |
//! | `seen` | what is found out |

mod files;
mod hello;
mod network;
mod pem;
mod seen;
mod self_signed;

use std::fmt;

use files::Wanted;
use pem::Fit;
pub use pem::Pem;
pub use seen::Seen;

use super::cause::Cause;
use super::operation::{Operation, Plan};
use super::params;
use super::site::Site;

/// Names in the data directory, which are the predecessor's and PostgreSQL's own.
const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";
const AUTHORITY: &str = "root.crt";
/// What people should know of a certificate that is made.
const SELF_SIGNED: &str = "nobody but itself vouches for a self-signed certificate: clients that verify it (sslmode=verify-full) need \
    server.crt as their root";

/// `ssl enable` or `ssl disable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssl {
    /// Whether the engine is to speak TLS.
    pub on: bool,
    /// What it is to show; `None`: what is there, or a certificate that vouches for itself.
    pub given: Option<Given>,
}

/// A certificate and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The server's, and those between it and its authority.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
    /// Whom the certificates of clients are to be from.
    pub authority: Option<Pem>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a certificate.
    SelfSign {
        /// The name in it.
        host: String,
        /// Whether its key is there.
        key_there: bool,
    },
    /// Write a file of the data directory.
    Write(&'static str),
    /// Of the parameters.
    Params(params::Step),
    /// Have the engine read its files.
    Reload,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SelfSign { host, key_there } => {
                let files = if *key_there { CERTIFICATE } else { "server.crt and server.key" };
                write!(f, "make a self-signed certificate of {host} for {} days: {files}", self_signed::DAYS)
            }
            Step::Write(name) => write!(f, "write {name}, mode 0600"),
            Step::Params(step) => write!(f, "{step}"),
            Step::Reload => f.write_str("reload, confirmed by the engine"),
        }
    }
}

impl Given {
    /// Whether they fit.
    ///
    /// # Errors
    /// They do not, or one of them is none.
    pub(in crate::manager) fn checked(&self) -> Result<(), Cause> {
        pem::fit(&self.certificate, &self.key).map(|_| ())
    }

    /// Whether they are in the data directory, the key closed to others.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(in crate::manager) fn are_in(&self, site: &Site) -> Result<bool, Cause> {
        for (path, text) in self.wanted(site) {
            let found = files::read(site, &path)?;
            if !found.is_some_and(|found| found.closed && Some(found.text) == text) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes them into the data directory, all of them or none.
    ///
    /// # Errors
    /// They could not be written.
    pub(in crate::manager) fn put_into(&self, site: &Site) -> Result<(), Cause> {
        let wanted = self.wanted(site);
        let written = files::write(site, &wanted)?;
        files::place(site, &wanted, written)
    }

    fn wanted(&self, site: &Site) -> Vec<Wanted> {
        let of = |name: &str, pem: &Pem| (site.data_dir.join(name), Some(pem.clone()));
        let authority = self.authority.as_ref().map(|pem| of(AUTHORITY, pem));
        [of(KEY, &self.key), of(CERTIFICATE, &self.certificate)].into_iter().chain(authority).collect()
    }
}

impl Operation for Ssl {
    type Seen = Seen;
    type Step = Step;

    fn name(&self) -> &'static str {
        if self.on { "ssl enable" } else { "ssl disable" }
    }

    fn look(&self, site: &mut Site) -> Result<Seen, Cause> {
        seen::look(self, site)
    }

    fn plan(&self, seen: &Seen) -> Result<Plan<Step>, Cause> {
        let mut plan = Plan::default();
        if self.on {
            self.plan_files(seen, &mut plan)?;
        }
        let files = !plan.steps.is_empty();
        let params = seen.change.plan(&seen.params)?;
        let reloads = params.steps.contains(&params::Step::Reload);
        plan.steps.extend(params.steps.into_iter().map(Step::Params));
        plan.notes.extend(params.notes);
        if let Some(running) = &seen.running {
            let unread = self.on && seen.since() > running.loaded;
            let contradicts = seen.contradicts(self.on, self.expected(seen).as_deref()).is_some();
            if !reloads && (files || unread || contradicts) {
                plan.steps.push(Step::Reload);
            }
            plan.notes.extend(running.notes(self.on));
        }
        Ok(plan)
    }

    fn carry_out(&self, steps: &[Step], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let wanted = self.wanted(steps, seen, site)?;
        let before: Vec<Wanted> = wanted.iter().map(|(path, _)| (path.clone(), seen.text_of(path))).collect();
        let of_params: Vec<params::Step> = steps
            .iter()
            .filter_map(|step| if let Step::Params(step) = step { Some(step.clone()) } else { None })
            .collect();
        let unfinished = files::write(site, &wanted)?;
        let mut written = false;
        let done = files::place(site, &wanted, unfinished).and_then(|()| {
            if !of_params.is_empty() {
                seen.change.carry_out(&of_params, &seen.params, site)?;
                written = true;
            }
            if steps.contains(&Step::Reload) {
                params::reload_files(site)?;
            }
            if seen.running.is_some() { self.prove(&wanted, seen, site) } else { Ok(()) }
        });
        if steps.iter().any(|step| matches!(step, Step::SelfSign { .. })) {
            site.remarks.push(SELF_SIGNED.to_owned());
        }
        if done.is_err() {
            let back = files::write(site, &before);
            if let Err(cause) = back.and_then(|unfinished| files::place(site, &before, unfinished)) {
                site.remarks.push(format!("the old files of TLS could not be put back: {cause}"));
            }
            if written {
                params::undo(&of_params, &seen.params, site);
            } else if seen.running.is_some() {
                // What fails here the next look tells.
                let _ = params::reload_files(site);
            }
        }
        done
    }
}

impl Ssl {
    /// What is to become of the files.
    fn plan_files(&self, seen: &Seen, plan: &mut Plan<Step>) -> Result<(), Cause> {
        let unknown = "whether the key fits the certificate cannot be seen: it is of a rare kind";
        let open = seen.own && seen.key.as_ref().is_some_and(|key| !key.closed);
        if let Some(given) = &self.given {
            if pem::fit(&given.certificate, &given.key)? == Fit::Unknown {
                plan.notes.push(unknown.to_owned());
            }
            if given.authority.as_ref().is_some_and(|authority| authority.certificate().is_none()) {
                let what = "there is no certificate (PEM) in the authority's file";
                return Err(Cause::invalid("bad_certificate", what, "give one"));
            }
            let is = |found: &Option<files::Found>, pem: &Pem| {
                found.as_ref().is_some_and(|found| found.text == *pem)
            };
            if open || !is(&seen.key, &given.key) {
                plan.steps.push(Step::Write(KEY));
            }
            if !is(&seen.certificate, &given.certificate) {
                plan.steps.push(Step::Write(CERTIFICATE));
            }
            if given.authority.as_ref().is_some_and(|pem| !is(&seen.authority, pem)) {
                plan.steps.push(Step::Write(AUTHORITY));
            }
            return Ok(());
        }
        match (&seen.certificate, &seen.key) {
            (Some(certificate), Some(key)) => {
                if pem::fit(&certificate.text, &key.text)? == Fit::Unknown {
                    plan.notes.push(unknown.to_owned());
                }
                if open {
                    plan.steps.push(Step::Write(KEY));
                }
            }
            _ if !seen.own => plan.notes.push(format!(
                "{} and {} are not both in reach here; the engine tells whether they hold",
                seen.certificate_path.display(),
                seen.key_path.display()
            )),
            (Some(_), None) => {
                let what = format!("{} is there, and its key is not", seen.certificate_path.display());
                return Err(Cause::invalid("no_key", what, "give both: --cert FILE --key FILE"));
            }
            (None, key) => {
                if let Some(key) = key {
                    pem::public_half(&key.text)?;
                }
                if open {
                    plan.steps.push(Step::Write(KEY));
                }
                let host = seen.host.clone().ok_or_else(self_signed::absent)?;
                plan.steps.push(Step::SelfSign { host, key_there: key.is_some() });
                plan.notes.push(SELF_SIGNED.to_owned());
            }
        }
        Ok(())
    }

    /// The certificate that clients are to see, where that is known.
    fn expected(&self, seen: &Seen) -> Option<Vec<u8>> {
        match &self.given {
            Some(given) => given.certificate.certificate(),
            None => seen.certificate.as_ref().and_then(|found| found.text.certificate()),
        }
    }

    /// What is to be written: the key before the certificate, which can be made again for it.
    fn wanted(&self, steps: &[Step], seen: &Seen, site: &Site) -> Result<Vec<Wanted>, Cause> {
        let mut wanted = Vec::new();
        for step in steps {
            match step {
                Step::SelfSign { host, key_there } => {
                    let key = key_there.then_some(seen.key_path.as_path());
                    let (certificate, key) = self_signed::make(site, host, key)?;
                    if key.is_some() {
                        wanted.push((seen.key_path.clone(), key));
                    }
                    wanted.push((seen.certificate_path.clone(), Some(certificate)));
                }
                Step::Write(name) => {
                    let path = site.data_dir.join(name);
                    let given = self.given.as_ref().and_then(|given| match *name {
                        KEY => Some(given.key.clone()),
                        CERTIFICATE => Some(given.certificate.clone()),
                        _ => given.authority.clone(),
                    });
                    let text = given.or_else(|| seen.text_of(&path));
                    wanted.push((path, text));
                }
                Step::Params(_) | Step::Reload => {}
            }
        }
        Ok(wanted)
    }

    /// Asks the engine as a client does: a file that it cannot use it refuses in its log alone.
    fn prove(&self, wanted: &[Wanted], seen: &Seen, site: &mut Site) -> Result<(), Cause> {
        let made = wanted.iter().find(|(path, _)| *path == seen.certificate_path);
        let made = made.and_then(|(_, text)| text.as_ref()?.certificate());
        let expected = made.or_else(|| self.expected(seen));
        match seen::contradiction(seen::answer(site)?.as_ref(), self.on, expected.as_deref()) {
            None => Ok(()),
            Some(what) => {
                let next = "see its log for why; what served before goes on";
                Err(Cause::invalid("refused", what, next))
            }
        }
    }
}
