//! `polarctl image build`: how far it is, and what came of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::cli::image::ImageVerb;
use super::failure::{Exit, Failure};
use super::screen::{Screen, harmless};
use crate::image::config::Config;
use crate::image::plan::{Choice, plan, would};
use crate::image::{Cause, Stop, Watch, build, config};

/// The longest file that is read, in bytes: far above any real one.
const FILE_MAX: u64 = 1 << 20;
/// How often the line of progress moves by itself.
const TICK: Duration = Duration::from_millis(200);

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(screen: Screen, verb: &ImageVerb) -> Result<(), Failure> {
    let ImageVerb::Build(args) = verb;
    let config = read(&args.file).map_err(|cause| of_cause(&cause))?;
    for note in &config.notes {
        screen.note(note);
    }
    let choice = Choice { only: args.only.clone(), push: args.pushes(), no_cache: args.no_cache };
    let plan = plan(&config, &choice).map_err(|cause| of_cause(&cause))?;
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if args.dry_run {
        let lines = would(&config, &plan, choice.no_cache, |clone| folder.join(clone).join(".git").exists());
        if screen.json {
            screen.document(&json!({ "would": lines }))?;
        } else {
            let lines = lines.iter().map(|line| format!("would: {}\n", harmless(line)));
            screen.text(&lines.collect::<String>())?;
        }
        return Ok(());
    }
    let stop =
        Stop::by_signals().map_err(|error| of_cause(&Cause::File { path: "signals".into(), error }))?;
    let mut shown = Shown::new(screen);
    let built = build(folder, &config, &plan, choice.no_cache, &stop, &mut shown);
    shown.end();
    let report = built.map_err(|cause| of_cause(&cause))?;
    if screen.json {
        screen.document(&report)?;
    } else {
        screen.text(&report.names())?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Config, Cause> {
    let of_file = |error| Cause::File { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes)).map_err(of_file)?;
    let text = String::from_utf8_lossy(&bytes);
    config::parse(&path.display().to_string(), &text).map_err(Cause::Config)
}

/// Why it was not done, and what to do next.
fn of_cause(cause: &Cause) -> Failure {
    let exit = if matches!(cause, Cause::NotPermitted(_)) { Exit::NotPermitted } else { Exit::Failed };
    // What has lines of its own has what to do next on another.
    let text = cause.to_string();
    let gap = if text.contains('\n') { "\n" } else { "; " };
    Failure::new(exit, cause.code(), format!("image build: {text}{gap}{}", cause.next()))
}

/// How far it is: on a terminal one line that moves, elsewhere a line a step.
struct Shown {
    screen: Screen,
    bar: Option<ProgressBar>,
}

impl Shown {
    fn new(screen: Screen) -> Self {
        let bar = screen.progress.then(|| {
            let bar = ProgressBar::new(0);
            // The line is ours, so it is whole.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} [{pos}/{len}] {prefix} {elapsed}: {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Shown { screen, bar }
    }

    /// Takes the line away.
    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.screen.note(text)),
            None if self.screen.json => {}
            None => self.screen.note(text),
        }
    }
}

impl Watch for Shown {
    fn step(&mut self, at: usize, of: usize, image: &str, what: &str) {
        self.say(&format!("[{at}/{of}] {image}: {what}"));
        if let Some(bar) = &self.bar {
            bar.set_length(u64::try_from(of).unwrap_or(u64::MAX));
            bar.set_position(u64::try_from(at).unwrap_or(u64::MAX));
            bar.reset_elapsed();
            bar.set_prefix(harmless(image));
            bar.set_message(String::new());
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(harmless(line));
        }
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}
