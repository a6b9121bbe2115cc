//! What every operation passes on its way from the command line and back: the instance is found, the outcome goes into
//! `manager.log` and to whoever called.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::ctl::cli::instance::{DoArgs, InstanceArgs};
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::place::Place;
use crate::ctl::screen::{Screen, brief};
use crate::manager::log::{Level, Line, Log};
use crate::manager::{Call, Cause, Operation, Outcome, Site, operation, random, user};

/// The longest request id that is taken from the environment, in characters.
const REQUEST_MAX: usize = 128;

/// The longest words of what was tried and of what happened, in characters.
const TRIED_MAX: usize = 200;
const HAPPENED_MAX: usize = 4000;

/// Where operations are called.
pub(crate) struct Desk<'a> {
    place: &'a Place,
    pub(crate) screen: Screen,
    log: Log,
    request: String,
}

impl<'a> Desk<'a> {
    /// The desk of this process.
    pub(crate) fn new(place: &'a Place, screen: Screen) -> Self {
        // Callers of the predecessor name their request so.
        let named = std::env::var("request_id").ok().filter(|id| !id.is_empty());
        let named = named.map(|id| id.chars().take(REQUEST_MAX).collect());
        let request = named.or_else(|| random::uuid().ok()).unwrap_or_else(|| "-".to_owned());
        Desk { place, screen, log: Log::new(place.log_dir()), request }
    }

    /// The same with the log in another folder.
    pub(crate) fn with_log(self, folder: &Path) -> Self {
        Desk { log: Log::new(folder), ..self }
    }

    /// The request that this process is part of.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// The folder of log files.
    pub(crate) fn log_dir(&self) -> &Path {
        self.place.log_dir()
    }

    /// How many instances are meant.
    ///
    /// # Errors
    /// The configuration has none.
    pub(crate) fn count(&self, tried: &str, program: Option<&str>) -> Result<usize, Failure> {
        Ok(self.place.instances(tried, program)?.len())
    }

    /// The instance that is meant.
    ///
    /// # Errors
    /// The configuration has none, or several.
    pub(crate) fn site(&self, tried: &str, args: &InstanceArgs) -> Result<Site, Failure> {
        let mut site = self.place.instance(tried, args.program.as_deref())?;
        site.patience.statement = args.timeout;
        site.patience.turn = args.timeout;
        site.patience.connect = site.patience.connect.min(args.timeout);
        let caller = format!("{} (process {})", user::own(), std::process::id());
        site.call = Call { request: self.request.clone(), caller, dry_run: false };
        Ok(site)
    }

    /// Has an operation done, and shows what came of it: `shown` makes the part of the answer that is its own, and prints
    /// it where no JSON is asked for.
    ///
    /// # Errors
    /// It was not done.
    pub(crate) fn change<O: Operation>(
        &mut self,
        operation: &O,
        subject: &str,
        args: &DoArgs,
        shown: impl FnOnce(&O::Seen) -> Value,
    ) -> Result<(), Failure> {
        let name = operation.name();
        let tried = format!("{name} {subject}").trim_end().to_owned();
        let mut site = self.site(&tried, &args.instance)?;
        site.call.dry_run = args.dry_run;
        let screen = self.screen;
        let outcome =
            operation::run(operation, &mut site, &mut |who| screen.note(&format!("waits for {who}")));
        self.record(name, &outcome.as_ref().map(|outcome| in_words(outcome, args.dry_run)), subject);
        let outcome = outcome.map_err(|cause| {
            site.remarks.iter().for_each(|remark| screen.note(remark));
            of_cause(&tried, &cause)
        })?;
        let result = shown(&outcome.seen);
        if screen.json {
            screen.document(&json!({
                "operation": name, "request": self.request, "changed": outcome.changed, "dry_run": args.dry_run,
                "steps": outcome.steps, "notes": outcome.notes, "result": result,
            }))?;
            return Ok(());
        }
        let mut text = String::new();
        for step in &outcome.steps {
            let word = if args.dry_run { "would" } else { "done" };
            text.push_str(&format!("{word}: {}\n", crate::ctl::screen::harmless(step)));
        }
        if outcome.steps.is_empty() {
            text.push_str("nothing to do: it is as asked for\n");
        }
        screen.text(&text)?;
        for note in &outcome.notes {
            screen.note(note);
        }
        Ok(())
    }

    /// Has something read, and puts it on record.
    ///
    /// # Errors
    /// It could not be read.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        args: &InstanceArgs,
        read: impl FnOnce(&mut Site) -> Result<T, Cause>,
    ) -> Result<T, Failure> {
        let mut site = self.site(name, args)?;
        site.purpose = name;
        let answer = read(&mut site);
        self.record(name, &answer.as_ref().map(|_| "done".to_owned()), "");
        answer.map_err(|cause| of_cause(name, &cause))
    }

    /// One line in `manager.log`. That it could not be written is said, and fails nothing.
    pub(crate) fn record(&mut self, name: &str, outcome: &Result<String, &Cause>, subject: &str) {
        match outcome {
            Ok(text) => self.add(Level::Info, name, text, subject),
            Err(cause) => {
                self.add(Level::Error, name, &format!("failed: {} ({})", cause, cause.code()), subject)
            }
        }
    }

    /// The same, of what fails with a failure.
    pub(crate) fn record_failure(&mut self, name: &str, outcome: &Result<String, &Failure>, subject: &str) {
        match outcome {
            Ok(text) => self.add(Level::Info, name, text, subject),
            // Whoever reads has gone; it was done.
            Err(failure) if failure.reader_gone => self.add(Level::Info, name, "done", subject),
            Err(failure) => {
                let text = format!("failed: {} ({})", failure.message, failure.code);
                self.add(Level::Error, name, &text, subject);
            }
        }
    }

    fn add(&mut self, level: Level, name: &str, outcome: &str, subject: &str) {
        let operation = format!("{name} {subject}");
        let line = Line {
            at: Timestamp::now(),
            level,
            request: &self.request,
            operation: operation.trim_end(),
            outcome,
        };
        if let Err(error) = self.log.add(&line) {
            let path = self.log.path();
            self.screen.note(&format!(
                "{}: no line of this was added to the log: {error}; the operation is not affected",
                path.display()
            ));
        }
    }
}

pub(crate) fn in_words<T>(outcome: &Outcome<T>, dry_run: bool) -> String {
    if outcome.steps.is_empty() {
        return "nothing to do".to_owned();
    }
    let word = if dry_run { "dry run, would" } else { "done" };
    format!("{word}: {}", outcome.steps.join("; "))
}

/// With the exit status that belongs to it.
pub(crate) fn of_cause(tried: &str, cause: &Cause) -> Failure {
    let exit = match cause {
        Cause::NotRunning { .. }
        | Cause::Gone { .. }
        | Cause::Locked { .. }
        | Cause::Starting(_)
        | Cause::Stopping(_) => Exit::NotRunning,
        Cause::Hung { .. } | Cause::TimedOut { .. } | Cause::Busy { .. } => Exit::TimedOut,
        Cause::NotPermitted(_) => Exit::NotPermitted,
        Cause::Invalid { code: "usage", .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    // Names and values that were typed are in it.
    let (tried, happened) = (brief(tried, TRIED_MAX), brief(&cause.to_string(), HAPPENED_MAX));
    Failure::new(exit, cause.code(), format!("{tried}: {happened}; {}", cause.next()))
}
