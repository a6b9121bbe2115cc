//! What may be typed of images.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// What is done with images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Builds the images of a file: base, engines, managers
    Build(BuildArgs),
}

/// A build.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// The file; all paths in it are relative to its folder
    #[arg(short, long, visible_alias = "image_config", value_name = "FILE", default_value = "image.yml")]
    pub file: PathBuf,
    /// This image alone, enabled or not; may be given again
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub only: Vec<String>,
    /// Build without what Docker remembers of builds before
    #[arg(short, long, visible_alias = "no_cache")]
    pub no_cache: bool,
    /// Push all that is built, whatever the file says
    #[arg(long, conflicts_with = "no_push")]
    pub push: bool,
    /// Push nothing, whatever the file says
    #[arg(long)]
    pub no_push: bool,
    /// Only say what would be done; no program is run
    #[arg(long)]
    pub dry_run: bool,
}

impl BuildArgs {
    /// Whether to push, where the command line says.
    #[must_use]
    pub fn pushes(&self) -> Option<bool> {
        (self.push || self.no_push).then_some(self.push)
    }
}
