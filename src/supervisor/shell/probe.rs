//! Checks of a program: that it is ready, and that it still answers.
//!
//! Each runs in a task of its own. What it needs a process for it asks the shell for, which alone makes and reaps
//! processes; a check that takes too long is killed, and the next one waits for its end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::Input;
use super::errand::Reports;
use super::findings::Findings;
use crate::config::{Check, Live};
use crate::supervisor::core::{Id, Run};

/// The first pause between looks whether a program is ready; it doubles up to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// No single look whether a program is ready takes longer.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// What a check needs a process for.
#[derive(Debug)]
pub(crate) enum Job {
    /// This command, as the program's user.
    Command(Vec<String>),
    /// Our own child, which asks an engine for a sign of life.
    Knock,
}

/// A process that a check asks for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) id: Id,
    pub(crate) run: Run,
    pub(crate) job: Job,
    /// Told once it runs: it, and where its verdict will come from.
    pub(crate) started: oneshot::Sender<Result<(Child, oneshot::Receiver<Found>), String>>,
}

/// What a check has found: life, or why not.
pub(crate) type Found = Result<(), String>;

/// A check's process that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) found: oneshot::Sender<Found>,
    /// Of our own child.
    pub(crate) reports: Option<Reports>,
}

/// Why a look found no life.
enum Lack {
    /// The program does not answer.
    Theirs(String),
    /// We could not look.
    Ours(String),
}

impl Lack {
    /// Says which command has found it.
    fn of(self, command: &[String]) -> Self {
        let command = command.first().map_or("", String::as_str);
        match self {
            Lack::Theirs(why) => Lack::Theirs(format!("{command}: {why}")),
            Lack::Ours(why) => Lack::Ours(format!("{command}: {why}")),
        }
    }

    fn words(self) -> String {
        match self {
            Lack::Theirs(why) | Lack::Ours(why) => why,
        }
    }
}

/// Looks at one run of a program.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    pub(crate) id: Id,
    pub(crate) run: Run,
    pub(crate) name: String,
    pub(crate) tell: UnboundedSender<Input>,
    pub(crate) findings: Findings,
}

/// A check's process that must not outlive who asked for it. It is made with the process: who asked may be gone before
/// the answer is taken.
#[derive(Debug)]
pub(crate) struct Child {
    /// `None`: it has ended.
    pid: Option<i32>,
    tell: UnboundedSender<Input>,
}

impl Child {
    pub(crate) fn new(pid: i32, tell: UnboundedSender<Input>) -> Self {
        Child { pid: Some(pid), tell }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            let _ = self.tell.send(Input::EndCheck(pid));
        }
    }
}

impl Prober {
    async fn look(&self, check: &Check, longest: Duration) -> Result<(), Lack> {
        match check {
            Check::Exec(command) => {
                self.run(Job::Command(command.clone()), longest).await.map_err(|lack| lack.of(command))
            }
            Check::Engine => self.run(Job::Knock, longest).await,
            Check::Tcp(address) => connect(*address, longest).await,
            // They look by themselves.
            Check::NotifySystemd | Check::NotifyFd(_) => Ok(()),
        }
    }

    async fn run(&self, job: Job, longest: Duration) -> Result<(), Lack> {
        let ending = || Lack::Ours("the supervisor has other things to do".into());
        let (started, answer) = oneshot::channel();
        let ask = Ask { id: self.id, run: self.run, job, started };
        self.tell.send(Input::Check(ask)).map_err(|_| ending())?;
        let (mut child, mut found) = answer.await.map_err(|_| ending())?.map_err(Lack::Ours)?;
        match timeout(longest, &mut found).await {
            Ok(found) => {
                child.pid = None;
                found.map_err(|_| ending())?.map_err(Lack::Theirs)
            }
            Err(_) => {
                drop(child);
                // Never two at once: one that hangs at a disk outlives its kill.
                let _ = found.await;
                Err(Lack::Theirs(format!("no answer within {} s", longest.as_secs_f64())))
            }
        }
    }
}

async fn connect(address: SocketAddr, longest: Duration) -> Result<(), Lack> {
    match timeout(longest, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Lack::Theirs(format!("no connection to {address}: {error}"))),
        Err(_) => Err(Lack::Theirs(format!("no connection to {address} within {} s", longest.as_secs_f64()))),
    }
}

/// Looks until the program is ready, and calls `ready` then.
pub(crate) async fn until_ready(prober: Prober, check: Check, within: Duration, ready: impl FnOnce()) {
    let mut pause = PAUSE.0;
    let mut said = None;
    loop {
        match prober.look(&check, within.min(LOOK_MAX)).await {
            Ok(()) => {
                prober.findings.readiness(None);
                return ready();
            }
            Err(lack) => {
                let why = Some(lack.words());
                if why != said {
                    log::info!(target: &prober.name, "not ready yet: {}", why.as_deref().unwrap_or_default());
                    prober.findings.readiness(why.as_deref());
                    said = why;
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Looks for life again and again, and tells when there is none.
pub(crate) async fn live(prober: Prober, live: Live) {
    let mut ticks = interval_at(Instant::now() + live.period, live.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        ticks.tick().await;
        let name = prober.name.as_str();
        match prober.look(&live.check, live.timeout).await {
            Ok(()) if failures > 0 => {
                log::info!(target: name, "its live check passes again");
                prober.findings.life(None);
                failures = 0;
            }
            Ok(()) => log::debug!(target: name, "its live check has passed"),
            Err(Lack::Ours(why)) => {
                log::warn!(target: name, "its live check could not be done: {why}");
                prober.findings.life(Some(&format!("could not be done: {why}")));
            }
            Err(Lack::Theirs(why)) => {
                failures += 1;
                let most = live.failures;
                log::warn!(target: name, "its live check has failed, {failures} of {most}: {why}");
                prober.findings.life(Some(&format!("has failed, {failures} of {most}: {why}")));
                if failures >= most {
                    prober.findings.ends(&why);
                    let _ = prober.tell.send(Input::Unwell(prober.id, prober.run, why));
                    return;
                }
            }
        }
    }
}
