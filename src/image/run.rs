//! Builds what the plan says, one image after the other; the first error ends it, and then no result is written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::cause::Cause;
use super::child::{self, Ended, Stop, answer};
use super::config::{Config, Image, Kind, Source};
use super::mean::BASE;
use super::plan::{self, CACHE, Checkout, Line, PROXIES, Plan, Run};
use super::result::{self, Built, Report};
use super::source;

/// The programs that the images have of this repository, and what makes them.
const PROGRAMS: [&str; 2] = ["target/release/polar-supervisor", "target/release/polarctl"];

/// Who is told how far it is.
pub trait Watch {
    /// A step begins: the how-manieth of how many, of which image, and what it does.
    fn step(&mut self, at: usize, of: usize, image: &str, what: &str);
    /// A line of what the step's program says.
    fn line(&mut self, line: &str);
    /// What people should know beside.
    fn note(&mut self, text: &str);
}

/// All that a run needs to know.
struct Yard<'a> {
    folder: &'a Path,
    plan: &'a Plan<'a>,
    no_cache: bool,
    stop: &'a Stop,
    run: Run,
    at: usize,
    of: usize,
    /// The full names, by the ids of the images.
    names: BTreeMap<&'a str, String>,
}

/// Builds, in the folder of the file.
///
/// # Errors
/// Not all of it was built; what was stays, and no result is written.
pub fn build(
    folder: &Path,
    config: &Config,
    plan: &Plan<'_>,
    no_cache: bool,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Result<Report, Cause> {
    files_are_there(folder, plan)?;
    result_can_be(&folder.join(&config.result))?;
    let _turn = turn(folder)?;
    let names = programs_answer(folder, plan)?;
    let run = look(folder, watch);
    let fetched = |image: &&Image| matches!(image.kind, Kind::Engine(Source::Repo { .. }));
    let of = usize::from(!plan.engines.is_empty())
        + plan.engines.iter().copied().filter(fetched).count()
        + plan.images().count()
        + plan.pushed.len();
    let mut yard = Yard { folder, plan, no_cache, stop, run, at: 0, of, names };
    yard.all(watch)?;
    let report = yard.report()?;
    let path = folder.join(&config.result);
    result::write(&path, &report).map_err(|(path, error)| Cause::of_file(path, error))?;
    Ok(report)
}

/// What can be seen to fail before anything is built.
fn files_are_there(folder: &Path, plan: &Plan<'_>) -> Result<(), Cause> {
    let needed = |path: &str, next: &'static str| {
        let path = folder.join(path);
        if path.is_file() { Ok(()) } else { Err(Cause::Missing { path, next }) }
    };
    for program in PROGRAMS {
        needed(program, "make build makes it; it goes into the images")?;
    }
    if !plan.engines.is_empty() {
        needed(
            plan::BASE_SCRIPT,
            "it makes the base image; image.yml belongs into the top folder of this repository",
        )?;
    }
    for image in plan.images() {
        needed(&image.dockerfile, "build_image_dockerfile is relative to the file's folder")?;
    }
    Ok(())
}

/// Where the result goes is a folder, and no folder is in its place.
fn result_can_be(path: &Path) -> Result<(), Cause> {
    let is_dir = |path: &Path| fs::metadata(path).map(|meta| meta.is_dir());
    if is_dir(path).unwrap_or(false) {
        return Err(Cause::of_file(path, std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    let parent = path.parent().unwrap_or(path);
    match is_dir(parent) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Cause::of_file(parent, std::io::Error::from(std::io::ErrorKind::NotADirectory))),
        Err(error) => Err(Cause::of_file(parent, error)),
    }
}

/// One builder at a time in a folder; the kernel ends its turn with it.
fn turn(folder: &Path) -> Result<File, Cause> {
    let path = folder.join(CACHE).join("lock");
    let opened = fs::create_dir_all(folder.join(CACHE)).and_then(|()| {
        // Not truncated, as it may be another's.
        File::options().create(true).append(true).open(&path)
    });
    let file = opened.map_err(|error| Cause::of_file(&path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Cause::Busy { folder: folder.to_owned() }),
        Err(error) => Err(Cause::of_file(path, error.into())),
    }
}

/// Docker and git are there, and so are the engines that are not built: their full names.
fn programs_answer<'a>(folder: &Path, plan: &Plan<'a>) -> Result<BTreeMap<&'a str, String>, Cause> {
    docker(folder, &Line::of(&["docker", "version", "--format", "{{.Server.Version}}"]))?;
    if plan.needs_git() && matches!(answer(&Line::of(&["git", "--version"]), folder), Err(Ended::NoProgram)) {
        return Err(Cause::NoProgram("git".to_owned()));
    }
    let mut names = BTreeMap::new();
    for engine in &plan.local {
        let listed = docker(folder, &plan::list(engine))?;
        let Some(name) = plan::newest(&listed) else {
            let managers = plan.managers.iter().find(|(_, needed)| needed == engine);
            return Err(Cause::NoEngine {
                manager: managers.map(|(manager, _)| manager.id.clone()).unwrap_or_default(),
                engine: engine.id.clone(),
                name: engine.name.to_string(),
            });
        };
        names.insert(engine.id.as_str(), name.to_owned());
    }
    Ok(names)
}

/// What Docker answers to a look-up.
fn docker(folder: &Path, line: &Line) -> Result<String, Cause> {
    answer(line, folder).map_err(|ended| match ended {
        Ended::NoProgram => Cause::NoProgram("docker".to_owned()),
        Ended::Failed(_, said) if said.contains("permission denied") => Cause::NotPermitted(said),
        Ended::Failed(_, said) => Cause::NoDaemon(said),
        Ended::Io(error) => Cause::of_file(line.program(), error),
        Ended::Interrupted => interrupted(line, Vec::new()),
    })
}

fn interrupted(during: impl ToString, built: Vec<String>) -> Cause {
    Cause::Interrupted { during: during.to_string(), built }
}

/// Who builds what, and when.
fn look(folder: &Path, watch: &mut dyn Watch) -> Run {
    let now = jiff::Timestamp::now();
    let own = source::own(folder).unwrap_or_else(|| {
        watch.note("this folder is no clone of a git repository (or there is no git): the images do not say their source");
        let date = now.strftime("%Y%m%d").to_string();
        Checkout { source: String::new(), branch: String::new(), commit: "unknown".to_owned(), date }
    });
    let by = source::email(folder).unwrap_or_else(user_at_host);
    let given = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let proxies = PROXIES.into_iter().filter(given).map(str::to_owned).collect();
    Run { time: now.strftime("%Y%m%d%H%M%S").to_string(), own, by, proxies }
}

/// Of who has told git nothing of himself.
fn user_at_host() -> String {
    let user =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let user = user.unwrap_or_else(|| nix::unistd::getuid().to_string());
    let host = nix::unistd::gethostname()
        .map_or_else(|_| "localhost".into(), |host| host.to_string_lossy().into_owned());
    format!("{user}@{host}")
}

impl<'a> Yard<'a> {
    fn all(&mut self, watch: &mut dyn Watch) -> Result<(), Cause> {
        if !self.plan.engines.is_empty() {
            self.step(watch, BASE, "the image that engines are built on");
            let mut log = self.log(BASE)?;
            self.command(BASE, &plan::base(), &mut log, watch)?;
        }
        for image in self.plan.engines.iter().copied() {
            self.engine(image, watch)?;
        }
        for (image, engine) in self.plan.managers.iter().copied() {
            let on = self.names.get(engine.id.as_str()).cloned().unwrap_or_default();
            let full = image.name.full(&plan::manager_tag(&self.run));
            self.step(watch, &image.id, &format!("docker build of {full} on {on}"));
            let line = plan::build_manager(&self.run, image, &on, self.no_cache);
            let mut log = self.log(&image.id)?;
            self.command(&image.id, &line, &mut log, watch)?;
            self.names.insert(&image.id, full);
        }
        // Nothing goes out before all is built.
        for image in self.plan.pushed.iter().copied() {
            let full = self.names.get(image.id.as_str()).cloned().unwrap_or_default();
            self.step(watch, &image.id, &format!("docker push of {full}"));
            let path = self.log_path(&image.id);
            let log = File::options().append(true).open(&path);
            self.command(
                &image.id,
                &plan::push(&full),
                &mut log.map_err(|error| Cause::of_file(path, error))?,
                watch,
            )?;
        }
        Ok(())
    }

    fn engine(&mut self, image: &'a Image, watch: &mut dyn Watch) -> Result<(), Cause> {
        let Kind::Engine(source) = &image.kind else { return Ok(()) };
        let mut log = self.log(&image.id)?;
        let mut engine = self.run.engine_of(source);
        if let (Source::Repo { url, branch, template, .. }, Some(files)) = (source, plan::files(image)) {
            self.step(watch, &image.id, &format!("git: {url}, branch {branch}"));
            let clone = self.folder.join(&files.clone);
            let fetched =
                source::fetch(self.folder, &files, (url, branch), &mut log, self.stop, &mut |line| {
                    watch.line(line)
                });
            let state = fetched.and_then(|()| source::engine(&clone, url, branch));
            engine = Some(state.map_err(|ended| self.of_git(image, (url, branch), ended))?);
            if let Some(template) = template {
                source::template(self.folder, image, &files, template)?;
            }
        }
        let Some(engine) = engine else { return Ok(()) };
        let full = image.name.full(&plan::engine_tag(&self.run, &engine));
        self.step(watch, &image.id, &format!("docker build of {full}"));
        let line = plan::build_engine(&self.run, image, &engine, self.no_cache);
        self.command(&image.id, &line, &mut log, watch)?;
        self.names.insert(&image.id, full);
        Ok(())
    }

    fn step(&mut self, watch: &mut dyn Watch, image: &str, what: &str) {
        self.at += 1;
        watch.step(self.at, self.of, image, what);
    }

    fn log_path(&self, id: &str) -> PathBuf {
        self.folder.join(CACHE).join("log").join(format!("{id}.log"))
    }

    /// The log of an image, begun anew.
    fn log(&self, id: &str) -> Result<File, Cause> {
        let path = self.log_path(id);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        parent.and_then(|()| File::create(&path)).map_err(|error| Cause::of_file(path, error))
    }

    fn command(&self, id: &str, line: &Line, log: &mut File, watch: &mut dyn Watch) -> Result<(), Cause> {
        if self.stop.asked() {
            return Err(interrupted(format!("{id}: {line}"), self.built()));
        }
        let done = child::run(line, self.folder, log, self.stop, &mut |line| watch.line(line));
        done.map_err(|ended| match ended {
            Ended::NoProgram => Cause::NoProgram(line.program().to_owned()),
            Ended::Io(error) => Cause::of_file(self.log_path(id), error),
            Ended::Interrupted => interrupted(format!("{id}: {line}"), self.built()),
            Ended::Failed(status, said) => {
                Cause::Step { id: id.to_owned(), line: brief(line), status, log: self.log_path(id), said }
            }
        })
    }

    fn of_git(&self, image: &Image, (url, branch): (&str, &str), ended: Ended) -> Cause {
        match ended {
            Ended::NoProgram => Cause::NoProgram("git".to_owned()),
            Ended::Io(error) => Cause::of_file(self.folder.join(CACHE), error),
            Ended::Interrupted => interrupted(format!("{}: git of {url}", image.id), self.built()),
            Ended::Failed(_, said) => {
                Cause::Fetch { id: image.id.clone(), url: url.to_owned(), branch: branch.to_owned(), said }
            }
        }
    }

    /// The full names of what this run has built.
    fn built(&self) -> Vec<String> {
        self.plan.images().filter_map(|image| self.names.get(image.id.as_str()).cloned()).collect()
    }

    fn report(&self) -> Result<Report, Cause> {
        let mut images = Vec::new();
        for image in self.plan.images() {
            let name = self.names.get(image.id.as_str()).cloned().unwrap_or_default();
            let format = "{{.Id}} {{json .RepoDigests}}";
            let said =
                docker(self.folder, &Line::of(&["docker", "image", "inspect", "--format", format, &name]))?;
            let (image_id, digests) = said.split_once(' ').unwrap_or((&said, ""));
            images.push(Built {
                id: image.id.clone(),
                kind: if matches!(image.kind, Kind::Engine(_)) { "engine" } else { "manager" },
                name,
                image_id: image_id.to_owned(),
                digests: serde_json::from_str::<Option<Vec<String>>>(digests)
                    .ok()
                    .flatten()
                    .unwrap_or_default(),
                pushed: self.plan.pushed.contains(&image),
            });
        }
        Ok(Report { images })
    }
}

/// A command line as errors show it: its first words; the log has it whole.
fn brief(line: &Line) -> String {
    line.0.iter().take(2).cloned().collect::<Vec<_>>().join(" ")
}
