//! The supervisor as real PID 1 over real PostgreSQL: one behaviour group a module.
//!
//! Every test that starts an instance needs root (for namespaces) and PostgreSQL's server package; `make test` sees
//! to both. A test waits for a condition, never for a time.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "test code: a panic is how a test fails, and nothing here is an API"
)]

mod adopted;
mod adopted_death;
mod bad_configuration;
mod bad_data;
mod classes;
mod common;
mod control;
mod control_history;
mod control_limits;
mod control_socket;
mod core_dumps;
mod disk_full_lock;
mod documents;
mod engine_process;
mod exec;
mod first_boot;
mod first_boot_faults;
mod first_boot_scripts;
mod footprint;
mod foreign;
mod harness;
mod hung_start;
#[cfg(feature = "ctl")]
mod installed;
mod kubernetes;
mod live;
#[cfg(feature = "ctl")]
mod local_instance;
#[cfg(feature = "ctl")]
mod local_instance_polar;
mod lock;
mod lock_kinds;
mod lock_when;
mod log_link;
mod machines_capabilities;
mod machines_clock;
mod machines_disk;
mod machines_limits;
mod machines_users;
mod make_run;
#[cfg(feature = "ctl")]
mod manager_container;
#[cfg(feature = "ctl")]
mod moved;
mod needs;
mod non_root;
mod not_pid_1;
#[cfg(feature = "ctl")]
mod operated;
mod operations;
mod orphans;
mod output;
mod output_follow;
mod output_programs;
mod output_writer;
mod planted;
mod planted_links;
#[cfg(feature = "ctl")]
mod pod;
#[cfg(feature = "ctl")]
mod polarctl;
#[cfg(feature = "ctl")]
mod polarctl_volume;
mod programs;
mod readiness;
mod recovery_conf;
mod reload;
mod reload_programs;
mod restart;
#[cfg(feature = "ctl")]
mod serve;
mod soak_smoke;
mod spared;
mod stale;
mod stop;
mod stop_between;
#[cfg(feature = "ctl")]
mod tasks;
mod two_engines;
mod two_keepers;
mod two_managers;
