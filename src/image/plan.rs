//! What is to be built, in which order, and by which command lines: pure.

use std::fmt;

use super::cause::Cause;
use super::config::{Config, Image, Kind, Source};
use super::name::for_tag;
use crate::config::{did_you_mean, nearest};

/// The image that engines are built on.
pub const BASE_IMAGE: &str = "polardb_pg/polardb_pg_base:bookworm";
/// What makes it, or finds it.
pub const BASE_SCRIPT: &str = "docker/base/build.sh";
/// Where clones, templates and logs are, in the folder of the file: what is built must be in it.
pub const CACHE: &str = ".image";
/// What builds an engine of its repository where the file does not say: as PostgreSQL and PolarDB are built, with what the
/// predecessor's images had. The Dockerfile runs it in the sources, with PREFIX in its environment.
pub const BUILD_COMMAND: &str = r#"./configure --prefix="$PREFIX" --with-openssl --with-libxml --with-libxslt --with-pam --with-gssapi --with-ldap --with-llvm --with-icu --with-perl --with-python --with-tcl --with-uuid=e2fs && make -j"$(nproc)" && make install && make -C contrib install"#;
/// The tag that the newest image of a name has beside its own, on this machine only.
const LATEST: &str = "latest";

/// What was asked for beside the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// These images, enabled or not; none: the enabled ones.
    pub only: Vec<String>,
    /// Whether to push, whatever the file says.
    pub push: Option<bool>,
    /// Build without what Docker remembers of builds before.
    pub no_cache: bool,
}

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// The engines.
    pub engines: Vec<&'a Image>,
    /// The managers, each with the image of its engine.
    pub managers: Vec<(&'a Image, &'a Image)>,
    /// Engines that are not built, and that managers need: they must be on this machine.
    pub local: Vec<&'a Image>,
    /// The images that are pushed.
    pub pushed: Vec<&'a Image>,
}

/// Decides what is built.
///
/// # Errors
/// An image was asked for that is not in the file, or there is nothing to do.
pub fn plan<'a>(config: &'a Config, choice: &Choice) -> Result<Plan<'a>, Cause> {
    let known = || config.images.iter().map(|image| image.id.as_str());
    for id in &choice.only {
        if !known().any(|other| other == id) {
            let hint = did_you_mean(nearest(id, known()));
            return Err(Cause::UnknownId {
                id: id.clone(),
                hint,
                known: known().collect::<Vec<_>>().join(", "),
            });
        }
    }
    let wanted = |image: &&Image| {
        if choice.only.is_empty() { image.enable } else { choice.only.contains(&image.id) }
    };
    let mut plan = Plan { engines: Vec::new(), managers: Vec::new(), local: Vec::new(), pushed: Vec::new() };
    plan.engines =
        config.images.iter().filter(wanted).filter(|it| matches!(it.kind, Kind::Engine(_))).collect();
    for image in config.images.iter().filter(wanted) {
        let Kind::Manager(engine) = &image.kind else { continue };
        // The file was refused were it not there.
        let Some(engine) = config.images.iter().find(|other| other.id == *engine) else { continue };
        if !plan.engines.contains(&engine) && !plan.local.contains(&engine) {
            plan.local.push(engine);
        }
        plan.managers.push((image, engine));
    }
    if plan.engines.is_empty() && plan.managers.is_empty() {
        return Err(Cause::NothingEnabled);
    }
    plan.pushed = plan.images().filter(|image| choice.push.unwrap_or(image.push)).collect();
    Ok(plan)
}

impl<'a> Plan<'a> {
    /// What is built, in this order.
    pub fn images(&self) -> impl Iterator<Item = &'a Image> {
        self.engines.iter().copied().chain(self.managers.iter().map(|(manager, _)| *manager))
    }

    /// Whether a repository must be fetched.
    #[must_use]
    pub fn needs_git(&self) -> bool {
        self.engines.iter().any(|image| matches!(image.kind, Kind::Engine(Source::Repo { .. })))
    }
}

/// A command line, run in the file's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(pub Vec<String>);

impl Line {
    /// Of these words.
    #[must_use]
    pub fn of(words: &[&str]) -> Line {
        Line(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn option(&mut self, name: &str, value: &str) {
        self.0.extend([name.to_owned(), value.to_owned()]);
    }

    fn argument(&mut self, name: &str, value: &str) {
        self.option("--build-arg", &format!("{name}={value}"));
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shell_words::join(&self.0))
    }
}

/// A state of a source: where it is from, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The address, or what stands for one.
    pub source: String,
    /// The branch, or what stands for one.
    pub branch: String,
    /// The whole hash of the commit.
    pub commit: String,
    /// The day of the commit, `YYYYmmdd`.
    pub date: String,
}

/// What is known of an engine that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its version, as it calls itself.
    pub version: String,
    /// Its source.
    pub checkout: Checkout,
}

/// What is known of the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// When it began, `YYYYmmddHHMMSS` in UTC.
    pub time: String,
    /// This repository.
    pub own: Checkout,
    /// Who builds.
    pub by: String,
    /// The variables of the environment that say how the network is reached; their values may be secrets, and stay there.
    pub proxies: Vec<String>,
}

/// What programs, and Docker's builds, know a proxy by.
pub const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];

impl Run {
    /// What stands for all of it as long as nothing was looked at.
    #[must_use]
    pub fn unknown() -> Run {
        Run {
            time: "<time>".into(),
            own: Checkout::unknown("this repository"),
            by: "<you>".into(),
            proxies: Vec::new(),
        }
    }

    /// What is known of an engine that no repository builds: its tag has this repository's day and commit.
    #[must_use]
    pub fn engine_of(&self, source: &Source) -> Option<Engine> {
        let (version, named, branch) = match source {
            Source::Repo { .. } => return None,
            Source::Packages(names) => {
                let major = names.iter().find_map(|name| major(name)).unwrap_or("0");
                (for_tag(major), "packages".to_owned(), names.join(" "))
            }
            Source::Image { image, .. } => {
                let tag = image
                    .rsplit_once(':')
                    .map_or(LATEST, |(_, tag)| if tag.contains('/') { LATEST } else { tag });
                (for_tag(tag), image.clone(), String::new())
            }
        };
        let checkout = Checkout { source: named, branch, ..self.own.clone() };
        Some(Engine { version, checkout })
    }
}

impl Checkout {
    /// What stands for one as long as it was not looked at.
    #[must_use]
    pub fn unknown(of: &str) -> Checkout {
        Checkout {
            source: format!("<{of}>"),
            branch: "<branch>".into(),
            commit: "<sha8>".into(),
            date: "<date>".into(),
        }
    }

    /// The first eight characters of the commit.
    fn short(&self) -> &str {
        self.commit.get(..8).unwrap_or(&self.commit)
    }
}

/// The major version that the name of a package says: 15 of `postgresql-15`.
fn major(package: &str) -> Option<&str> {
    let rest = package.strip_prefix("postgresql-")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end).filter(|digits| !digits.is_empty())
}

/// The tag of an engine: `<version>.<date>.<sha8>.<time>`.
#[must_use]
pub fn engine_tag(run: &Run, engine: &Engine) -> String {
    format!("{}.{}.{}.{}", engine.version, engine.checkout.date, engine.checkout.short(), run.time)
}

/// The tag of a manager: `<time>.<sha8>`.
#[must_use]
pub fn manager_tag(run: &Run) -> String {
    format!("{}.{}", run.time, run.own.short())
}

/// The files of an engine from a repository, in the file's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The clone.
    pub clone: String,
    /// The copy of the template, where there is one.
    pub template: Option<String>,
}

/// Where they are. Images of the same repository and branch share a clone.
#[must_use]
pub fn files(image: &Image) -> Option<Files> {
    use sha2::Digest;
    let Kind::Engine(Source::Repo { url, branch, template, .. }) = &image.kind else { return None };
    let stem = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let stem = for_tag(stem.strip_suffix(".git").unwrap_or(stem));
    let hash = sha2::Sha256::digest(format!("{url}\n{branch}"));
    let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let clone = format!("{CACHE}/source/{stem}-{}-{hash}", for_tag(branch));
    let template = template.as_ref().map(|_| format!("{CACHE}/conf/{}.conf.sample", image.id));
    Some(Files { clone, template })
}

/// What brings a repository here, where it was not cloned before.
#[must_use]
pub fn clone(url: &str, branch: &str, to: &str) -> Vec<Line> {
    let words =
        ["git", "clone", "--depth", "1", "--branch", branch, "--recurse-submodules", "--shallow-submodules"];
    let mut line = Line::of(&words);
    line.0.extend(["--", url, to].map(str::to_owned));
    vec![line]
}

/// What makes a clone as the repository is.
#[must_use]
pub fn update(branch: &str, clone: &str) -> Vec<Line> {
    let git = |words: &[&str]| {
        let mut line = Line::of(&["git", "-C", clone]);
        line.0.extend(words.iter().map(|word| (*word).to_owned()));
        line
    };
    vec![
        git(&["fetch", "--depth", "1", "--no-tags", "--force", "origin", branch]),
        git(&["checkout", "--force", "--detach", "FETCH_HEAD"]),
        git(&["clean", "-ffdxq"]),
        git(&["submodule", "sync", "--recursive"]),
        git(&["submodule", "update", "--init", "--recursive", "--force", "--depth", "1"]),
    ]
}

/// What makes the base image.
#[must_use]
pub fn base() -> Line {
    Line::of(&[BASE_SCRIPT, BASE_IMAGE])
}

/// What builds an engine's image.
#[must_use]
pub fn build_engine(run: &Run, image: &Image, engine: &Engine, no_cache: bool) -> Line {
    let mut line = build(run, image, &engine_tag(run, engine), no_cache);
    line.argument("BASE_IMAGE", BASE_IMAGE);
    if !matches!(image.kind, Kind::Engine(Source::Packages(_))) {
        // The Dockerfile's own are for who gives nothing at all.
        line.argument("ENGINE_PACKAGES", "");
    }
    match &image.kind {
        Kind::Engine(Source::Packages(names)) => line.argument("ENGINE_PACKAGES", &names.join(" ")),
        Kind::Engine(Source::Image { image, prefix }) => {
            line.argument("ENGINE_IMAGE", image);
            if let Some(prefix) = prefix {
                line.argument("ENGINE_PREFIX", prefix);
            }
        }
        Kind::Engine(Source::Repo { command, .. }) => {
            if let Some(files) = files(image) {
                line.argument("POLAR_SOURCE_DIR", &files.clone);
                if let Some(template) = files.template {
                    line.argument("CONF_TEMPLATE", &template);
                }
            }
            line.argument("ENGINE_BUILD_COMMAND", command.as_deref().unwrap_or(BUILD_COMMAND));
        }
        Kind::Manager(_) => {}
    }
    labels(&mut line, run);
    line.argument("PolarSource", &engine.checkout.source);
    line.argument("PolarBranch", &engine.checkout.branch);
    let repo = matches!(image.kind, Kind::Engine(Source::Repo { .. }));
    line.argument("PolarVersion", if repo { &engine.checkout.commit } else { &engine.version });
    line.0.push(".".to_owned());
    line
}

/// What builds a manager's image on an engine's, which is called so.
#[must_use]
pub fn build_manager(run: &Run, image: &Image, engine: &str, no_cache: bool) -> Line {
    let mut line = build(run, image, &manager_tag(run), no_cache);
    line.argument("ENGINE_IMAGE_FULL_NAME", engine);
    labels(&mut line, run);
    line.0.push(".".to_owned());
    line
}

fn build(run: &Run, image: &Image, tag: &str, no_cache: bool) -> Line {
    let mut line = Line::of(&["docker", "build", "--file", &image.dockerfile]);
    line.option("--tag", &image.name.full(tag));
    if image.name.tag.is_none() {
        line.option("--tag", &image.name.full(LATEST));
    }
    if no_cache {
        line.0.push("--no-cache".to_owned());
    }
    // Without a value it is that of the environment.
    for name in &run.proxies {
        line.option("--build-arg", name);
    }
    line
}

fn labels(line: &mut Line, run: &Run) {
    line.argument("CodeSource", &run.own.source);
    line.argument("CodeBranch", &run.own.branch);
    line.argument("CodeVersion", &run.own.commit);
    line.argument("BuildBy", &run.by);
}

/// What sends an image to its registry.
#[must_use]
pub fn push(full: &str) -> Line {
    Line::of(&["docker", "push", full])
}

/// What lists the images of a name on this machine, the newest first.
#[must_use]
pub fn list(image: &Image) -> Line {
    let name = image.name.to_string();
    Line::of(&["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", &name])
}

/// Which of those listed is taken: the newest with a tag of its own.
#[must_use]
pub fn newest(listed: &str) -> Option<&str> {
    let named =
        || listed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with(":<none>"));
    let own = named().find(|line| !line.ends_with(&format!(":{LATEST}")));
    own.or_else(|| named().next())
}

/// All that a run would do, a line each, for people; `cached` says whether a clone is there.
#[must_use]
pub fn would(config: &Config, plan: &Plan<'_>, no_cache: bool, cached: impl Fn(&str) -> bool) -> Vec<String> {
    let run = Run::unknown();
    let mut lines = Vec::new();
    let mut names = std::collections::BTreeMap::new();
    if !plan.engines.is_empty() {
        lines.push(format!("base image: {}", base()));
    }
    for image in &plan.engines {
        let Kind::Engine(source) = &image.kind else { continue };
        if let (Source::Repo { url, branch, template, .. }, Some(files)) = (source, files(image)) {
            let there = cached(&files.clone);
            let git = if there { update(branch, &files.clone) } else { clone(url, branch, &files.clone) };
            lines.extend(git.iter().map(|line| format!("{}: {line}", image.id)));
            if let (Some(from), Some(to)) = (template, files.template) {
                lines.push(format!("{}: copy {from} of the repository to {to}", image.id));
            }
        }
        let engine = run.engine_of(source).unwrap_or_else(|| of_repo(source));
        lines.push(format!("{}: {}", image.id, build_engine(&run, image, &engine, no_cache)));
        names.insert(image.id.as_str(), image.name.full(&engine_tag(&run, &engine)));
    }
    for (image, engine) in &plan.managers {
        let on = names.get(engine.id.as_str()).cloned();
        let on = on.unwrap_or_else(|| format!("<newest {} of this machine>", engine.name));
        lines.push(format!("{}: {}", image.id, build_manager(&run, image, &on, no_cache)));
        names.insert(image.id.as_str(), image.name.full(&manager_tag(&run)));
    }
    for image in &plan.pushed {
        let name = names.get(image.id.as_str()).map_or("", String::as_str);
        lines.push(format!("{}: {}", image.id, push(name)));
    }
    let result = config.result.display();
    lines.push(format!("write {result}, {result}.json"));
    lines
}

fn of_repo(source: &Source) -> Engine {
    let mut checkout = Checkout::unknown("repository");
    if let Source::Repo { url, branch, .. } = source {
        (checkout.source, checkout.branch) = (url.clone(), branch.clone());
    }
    Engine { version: "<version>".to_owned(), checkout }
}
