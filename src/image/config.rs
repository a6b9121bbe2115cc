//! `image.yml`: what was typed, and what it means.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Error, Spanned};

use super::mean;
use super::name::Name;
use crate::config::{Mistake, Mistakes, did_you_mean, nearest, quoted};

/// The keys of the file itself.
pub const TOP_KEYS: [&str; 4] = ["images", "result", "pfsd_rpm", "polardb_rpm"];
/// The keys of an image.
pub const IMAGE_KEYS: [&str; 17] = [
    "id",
    "type",
    "build_image_name",
    "build_image_dockerfile",
    "engine_repo",
    "engine_branch",
    "engine_config_template",
    "engine_build_command",
    "engine_image",
    "engine_prefix",
    "engine_packages",
    "engine_image_id",
    "push",
    "enable",
    "engine_release_date",
    "pfsd_rpm",
    "polardb_rpm",
];
/// Where the names of the images are written, unless `result` says otherwise.
pub const RESULT: &str = "./image.result";

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The images, as they stand in the file.
    pub images: Vec<Image>,
    /// Where the names of the images are written, relative to the file's folder.
    pub result: PathBuf,
    /// What the file has that means nothing here.
    pub notes: Vec<String>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// By which it is referred to.
    pub id: String,
    /// What it will be called.
    pub name: Name,
    /// Its Dockerfile, relative to the file's folder.
    pub dockerfile: String,
    /// Whether it goes to its registry.
    pub push: bool,
    /// Whether it is built where no image is named.
    pub enable: bool,
    /// Of which type it is.
    pub kind: Kind,
}

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One with an engine.
    Engine(Source),
    /// One that operates the engine of the image of this id, and is built on it.
    Manager(String),
}

/// Where an engine comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A repository that builds it.
    Repo {
        /// Its address.
        url: String,
        /// A branch, or a tag.
        branch: String,
        /// The template of `postgresql.conf` in it.
        template: Option<String>,
        /// The command that builds and installs it, where it is not the usual one.
        command: Option<String>,
    },
    /// Another image that has it.
    Image {
        /// That image.
        image: String,
        /// Below this folder.
        prefix: Option<String>,
    },
    /// Packages of the base image's distribution.
    Packages(Vec<String>),
}

/// The file as it was typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) images: Vec<Spanned<RawImage>>,
    pub(super) result: Option<Spanned<String>>,
    pub(super) pfsd_rpm: Option<IgnoredAny>,
    pub(super) polardb_rpm: Option<IgnoredAny>,
}

/// A text that was typed, and where.
pub(super) type Text = Option<Spanned<String>>;

/// An image as it was typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImage {
    pub(super) id: Text,
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) build_image_name: Text,
    pub(super) build_image_dockerfile: Text,
    pub(super) engine_repo: Text,
    pub(super) engine_branch: Text,
    pub(super) engine_config_template: Text,
    pub(super) engine_build_command: Text,
    pub(super) engine_image: Text,
    pub(super) engine_prefix: Text,
    pub(super) engine_packages: Option<Spanned<Vec<String>>>,
    pub(super) engine_image_id: Text,
    pub(super) push: Option<bool>,
    pub(super) enable: Option<bool>,
    pub(super) engine_release_date: Option<IgnoredAny>,
    pub(super) pfsd_rpm: Option<IgnoredAny>,
    pub(super) polardb_rpm: Option<IgnoredAny>,
}

/// Reads a file's text; `file` is what messages call it.
///
/// # Errors
/// All that is wrong with what it means; of what is no such file at all, the first.
pub fn parse(file: &str, text: &str) -> Result<Config, Mistakes> {
    let raw: RawFile = serde_saphyr::from_str(text).map_err(|error| of_yaml(file, &error))?;
    mean::mean(file, raw)
}

fn of_yaml(file: &str, error: &Error) -> Mistakes {
    let error = error.without_snippet();
    let line = error.location().and_then(|at| usize::try_from(at.line()).ok()).filter(|line| *line > 0);
    let mut mistake =
        Mistake { file: file.to_owned(), line, key: String::new(), what: String::new(), near: None };
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let near = nearest(field, expected.iter().copied());
            mistake.what = format!("unknown key {}{}", quoted(field), did_you_mean(near));
            if near.is_none() {
                mistake.what.push_str("; known: ");
                mistake.what.push_str(&expected.join(", "));
            }
            mistake.near = near.map(str::to_owned);
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map(quoted).unwrap_or_default();
            mistake.what = format!("the key {key} is there twice; leave one");
        }
        Error::SerdeMissingField { field, .. } => mistake.what = format!("the key `{field}` is missing"),
        // Its first line says it; the rest is a drawing of the place.
        other => {
            let text = other.to_string();
            mistake.what = text.lines().next().unwrap_or("is no YAML").to_owned();
        }
    }
    Mistakes(vec![mistake])
}
