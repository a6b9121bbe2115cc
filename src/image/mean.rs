//! What a typed `image.yml` means, and all that is wrong with it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_saphyr::{Location, Spanned};

use super::config::{Config, Image, Kind, RESULT, RawFile, RawImage, Source, Text};
use super::name::Name;
use crate::config::{Mistake, Mistakes, did_you_mean, nearest, quoted};

/// The types of images.
const TYPES: [&str; 2] = ["engine", "manager"];
/// What the log of the base image is called, and so no image.
pub(super) const BASE: &str = "base";

/// Collects what is wrong.
struct Judge<'a> {
    file: &'a str,
    found: Vec<Mistake>,
    /// Which image is looked at, for the messages.
    image: String,
    line: Option<usize>,
}

impl Judge<'_> {
    fn wrong(&mut self, line: Option<usize>, key: &str, what: String, near: Option<&str>) {
        let key = if self.image.is_empty() { key.to_owned() } else { format!("{}.{key}", self.image) };
        let near = near.map(str::to_owned);
        self.found.push(Mistake { file: self.file.to_owned(), line, key, what, near });
    }

    /// A value that must be there.
    fn required(&mut self, key: &str, value: Text) -> Spanned<String> {
        value.unwrap_or_else(|| {
            self.wrong(self.line, key, "is missing".to_owned(), None);
            Spanned { value: String::new(), referenced: Location::UNKNOWN, defined: Location::UNKNOWN }
        })
    }

    /// What no program takes for an option, and no file for two lines.
    fn plain(&mut self, key: &str, value: &Text) {
        let Some(value) = value else { return };
        let what = if value.value.trim().is_empty() {
            "is empty"
        } else if value.value.starts_with('-') {
            "begins with -, which a program would take for an option"
        } else if value.value.chars().any(char::is_control) {
            "holds a control character, such as the end of a line"
        } else {
            return;
        };
        self.wrong(line(value), key, format!("{} {what}", quoted(&value.value)), None);
    }

    /// A path that stays below the folder that it is relative to.
    fn below(&mut self, key: &str, value: &Text, folder: &str) {
        self.plain(key, value);
        let Some(value) = value else { return };
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(&value.value).components().all(inside) {
            let what = format!("{} leads out of {folder}; give a path below it", quoted(&value.value));
            self.wrong(line(value), key, what, None);
        }
    }

    /// Keys that mean nothing for this image.
    fn not_of(&mut self, keys: &[(&str, Option<usize>)], why: &str) {
        for (key, at) in keys {
            if let Some(line) = at {
                self.wrong(Some(*line), key, format!("{why}; leave it out"), None);
            }
        }
    }
}

fn line<T>(value: &Spanned<T>) -> Option<usize> {
    usize::try_from(value.referenced.line()).ok().filter(|line| *line > 0)
}

/// Where a key was given.
fn at<T>(value: &Option<Spanned<T>>) -> Option<usize> {
    value.as_ref().map(|value| line(value).unwrap_or(1))
}

fn taken(value: Text) -> Option<String> {
    value.map(|value| value.value)
}

/// What it means.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn mean(file: &str, raw: RawFile) -> Result<Config, Mistakes> {
    let mut judge = Judge { file, found: Vec::new(), image: String::new(), line: None };
    let mut notes = Vec::new();
    let mut note = |place: &str, key: &str, given: bool| {
        if given {
            notes.push(format!("{file}: {place}{key} is of the predecessor, and means nothing here"));
        }
    };
    note("", "pfsd_rpm", raw.pfsd_rpm.is_some());
    note("", "polardb_rpm", raw.polardb_rpm.is_some());
    judge.plain("result", &raw.result);
    if raw.images.is_empty() {
        judge.wrong(None, "images", "has no image; there is nothing to build".to_owned(), None);
    }
    let mut lines = Vec::new();
    let mut images = Vec::new();
    for raw in raw.images {
        judge.line = line(&raw);
        let raw = raw.value;
        // By its id, or by its number.
        judge.image = match &raw.id {
            Some(id) => id.value.clone(),
            None => format!("images[{}]", images.len()),
        };
        let place = format!("{}.", judge.image);
        note(&place, "pfsd_rpm", raw.pfsd_rpm.is_some());
        note(&place, "polardb_rpm", raw.polardb_rpm.is_some());
        note(&place, "engine_release_date", raw.engine_release_date.is_some());
        lines.push((at(&raw.id), at(&raw.build_image_name), at(&raw.engine_image_id)));
        images.push(image(&mut judge, raw));
    }
    judge.image.clear();
    together(&mut judge, &images, &lines);
    if judge.found.is_empty() {
        let images = images.into_iter().flatten().collect();
        let result = taken(raw.result).unwrap_or_else(|| RESULT.to_owned());
        Ok(Config { images, result: result.into(), notes })
    } else {
        Err(Mistakes(judge.found))
    }
}

/// What one image means; nothing where it means none.
fn image(judge: &mut Judge<'_>, raw: RawImage) -> Option<Image> {
    let before = judge.found.len();
    let id = judge.required("id", raw.id.clone());
    let named = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if raw.id.is_some()
        && (id.value == BASE
            || !id.value.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !id.value.chars().all(named))
    {
        let what = format!(
            "{}: an id is letters, digits, _ . - after a letter or digit, and not {BASE}",
            quoted(&id.value)
        );
        judge.wrong(line(&id), "id", what, None);
    }
    judge.plain("build_image_name", &raw.build_image_name);
    let name = judge.required("build_image_name", raw.build_image_name.clone());
    let parsed = Name::parse(&name.value);
    if let (Err(what), true) = (&parsed, raw.build_image_name.is_some()) {
        judge.wrong(line(&name), "build_image_name", format!("{}: {what}", quoted(&name.value)), None);
    }
    judge.below("build_image_dockerfile", &raw.build_image_dockerfile, "the file's folder");
    let dockerfile = judge.required("build_image_dockerfile", raw.build_image_dockerfile.clone());
    let (push, enable) = (raw.push.unwrap_or(true), raw.enable.unwrap_or(true));
    let kind = judge.required("type", raw.kind.clone());
    let kind = match kind.value.as_str() {
        "engine" => Some(Kind::Engine(engine(judge, raw)?)),
        "manager" => Some(manager(judge, raw)),
        _ if raw.kind.is_none() => None,
        other => {
            let near = nearest(other, TYPES);
            let what = format!("{}{}; one of engine, manager", quoted(other), did_you_mean(near));
            judge.wrong(line(&kind), "type", what, near);
            None
        }
    };
    (judge.found.len() == before).then_some(())?;
    Some(Image { id: id.value, name: parsed.ok()?, dockerfile: dockerfile.value, push, enable, kind: kind? })
}

fn manager(judge: &mut Judge<'_>, raw: RawImage) -> Kind {
    judge.not_of(
        &[
            ("engine_repo", at(&raw.engine_repo)),
            ("engine_branch", at(&raw.engine_branch)),
            ("engine_config_template", at(&raw.engine_config_template)),
            ("engine_build_command", at(&raw.engine_build_command)),
            ("engine_image", at(&raw.engine_image)),
            ("engine_prefix", at(&raw.engine_prefix)),
            ("engine_packages", at(&raw.engine_packages)),
        ],
        "is of type engine, and this image is of type manager",
    );
    Kind::Manager(judge.required("engine_image_id", raw.engine_image_id).value)
}

fn engine(judge: &mut Judge<'_>, raw: RawImage) -> Option<Source> {
    judge.not_of(
        &[("engine_image_id", at(&raw.engine_image_id))],
        "is of type manager, and this image is of type engine",
    );
    let sources = [at(&raw.engine_repo), at(&raw.engine_image), at(&raw.engine_packages)];
    if sources.iter().flatten().count() != 1 {
        let what = "give one of engine_repo, engine_image and engine_packages: where the engine comes from";
        judge.wrong(sources.into_iter().flatten().last().or(judge.line), "type", what.to_owned(), None);
        return None;
    }
    let of_repo = [
        ("engine_branch", at(&raw.engine_branch)),
        ("engine_config_template", at(&raw.engine_config_template)),
        ("engine_build_command", at(&raw.engine_build_command)),
    ];
    if raw.engine_repo.is_none() {
        judge.not_of(&of_repo, "goes with engine_repo alone");
    }
    if raw.engine_image.is_none() {
        judge.not_of(&[("engine_prefix", at(&raw.engine_prefix))], "goes with engine_image alone");
    }
    for (key, value) in [
        ("engine_repo", &raw.engine_repo),
        ("engine_branch", &raw.engine_branch),
        ("engine_build_command", &raw.engine_build_command),
        ("engine_image", &raw.engine_image),
        ("engine_prefix", &raw.engine_prefix),
    ] {
        judge.plain(key, value);
    }
    judge.below("engine_config_template", &raw.engine_config_template, "the repository");
    if let Some(url) = raw.engine_repo {
        if has_secret(&url.value) {
            let what = "holds a user or password, which the list of processes and the image would show; let git's credential helper have it";
            judge.wrong(line(&url), "engine_repo", what.to_owned(), None);
        }
        let branch = judge.required("engine_branch", raw.engine_branch).value;
        let (template, command) = (taken(raw.engine_config_template), taken(raw.engine_build_command));
        return Some(Source::Repo { url: url.value, branch, template, command });
    }
    if let Some(image) = raw.engine_image {
        return Some(Source::Image { image: image.value, prefix: taken(raw.engine_prefix) });
    }
    let packages = raw.engine_packages?;
    if packages.value.is_empty() || !packages.value.iter().all(|name| is_package(name)) {
        let what = "is a list of packages of the base image's distribution, such as [postgresql-15]";
        judge.wrong(line(&packages), "engine_packages", what.to_owned(), None);
    }
    Some(Source::Packages(packages.value))
}

/// `NAME`, `NAME=VERSION` or `NAME:ARCHITECTURE`; a shell reads them.
fn is_package(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c))
}

/// Whether an address has a password before its host, or what is used like one: the user of a web address.
fn has_secret(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':') || scheme.starts_with("http"))
}

/// What the images are to each other.
fn together(
    judge: &mut Judge<'_>,
    images: &[Option<Image>],
    lines: &[(Option<usize>, Option<usize>, Option<usize>)],
) {
    let mut ids = BTreeMap::new();
    let mut names = BTreeMap::new();
    let known: Vec<&Image> = images.iter().flatten().collect();
    let complete = known.len() == images.len();
    for (image, (of_id, of_name, of_engine)) in images.iter().zip(lines) {
        let Some(image) = image else { continue };
        if ids.insert(&image.id, ()).is_some() {
            let what = format!("{} is the id of another image, too; each needs its own", quoted(&image.id));
            judge.wrong(*of_id, "id", what, None);
        }
        if let Some(other) = names.insert(image.name.to_string(), &image.id) {
            let what = format!(
                "{} is the name of {other}, too; each needs its own",
                quoted(&image.name.to_string())
            );
            judge.wrong(*of_name, &format!("{}.build_image_name", image.id), what, None);
        }
        let Kind::Manager(engine) = &image.kind else { continue };
        let key = format!("{}.engine_image_id", image.id);
        match known.iter().find(|other| other.id == *engine) {
            Some(other) if matches!(other.kind, Kind::Engine(_)) => {}
            Some(_) => {
                let what =
                    format!("{} is no engine; a manager is built on an engine's image", quoted(engine));
                judge.wrong(*of_engine, &key, what, None);
            }
            // It may be the one that is wrong in another way.
            None if !complete => {}
            None => {
                let engines = known.iter().filter(|other| matches!(other.kind, Kind::Engine(_)));
                let near = nearest(engine, engines.map(|other| other.id.as_str()));
                let what = format!("there is no image {}{}", quoted(engine), did_you_mean(near));
                judge.wrong(*of_engine, &key, what, near);
            }
        }
    }
}
