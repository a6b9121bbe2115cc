//! What may be typed of tablespaces.

use clap::Subcommand;

use super::instance::DoArgs;

/// Tablespaces.
#[derive(Debug, Subcommand)]
pub enum TablespaceVerb {
    /// Makes one, and its folder where the engine's user may make that
    Create {
        /// Its name
        name: String,
        /// The folder that it is in, as the engine sees it: absolute, empty, outside of the data directory
        #[arg(long, value_name = "DIR")]
        location: String,
        /// The role that it belongs to [default: of one that is made the superuser]
        #[arg(long, value_name = "ROLE")]
        owner: Option<String>,
        #[command(flatten)]
        #[allow(missing_docs, reason = "a doc comment here would become the text of --help")]
        change: DoArgs,
    },
}
