//! What may be typed of the engine's user.

use std::path::PathBuf;

use clap::Args;

/// The engine's user by PolarDB Stack's rule.
#[derive(Debug, Clone, Args)]
pub struct EngineUserArgs {
    /// The number of the instance: the uid is 10000 and its last four digits [default: that of an installation that is
    /// done, in ins_logic_id of the data directory]
    #[arg(long, value_name = "N")]
    pub logic_id: Option<String>,
    /// Wait until the installation is done
    #[arg(long, conflicts_with = "logic_id")]
    pub wait: bool,
    /// The user whose uid it is to be
    #[arg(long, value_name = "NAME", default_value = crate::manager::install::USER)]
    pub user: String,
    /// The file that is edited
    #[arg(long, value_name = "FILE", default_value = crate::manager::engine_user::PASSWD)]
    pub passwd: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}
