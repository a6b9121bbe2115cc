//! Builds images: `image.yml` to git, `docker build` and `docker push`.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`], `mean` | the file: what was typed, and what it means |
//! | [`name`] | names of images, and what a tag can hold |
//! | [`plan`] | what is built in which order, by which command lines (pure, and all that `--dry-run` shows) |
//! | [`run`] | does it |
//! | `source` | what git knows: this repository, and the engines' |
//! | [`child`] | one program at a time: its log, its last lines, its end by a signal |
//! | [`result`] | the names of what was built, in two files |
//! | [`cause`] | why no image was built, and what to do next |

pub mod cause;
pub mod child;
pub mod config;
mod mean;
pub mod name;
pub mod plan;
pub mod result;
pub mod run;
mod source;

#[cfg(test)]
mod tests;

pub use cause::Cause;
pub use child::Stop;
pub use run::{Watch, build};
