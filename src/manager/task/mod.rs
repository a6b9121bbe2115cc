//! The predecessor's task protocol: PolarDB Stack's callers name a task by variables of the environment, `srv_opr_type` and
//! `srv_opr_action`, and hand over all that it needs by others. This is what they ask for; how it is done is `src/ctl/task`.
//!
//! | module | what it knows |
//! |---|---|
//! | `pairs` | every pair of type and action, and what becomes of it |
//! | `environment` | variables: text, flags, JSON |
//! | `port` | the port that a caller means |
//! | `topology` | the nodes of a cluster: the primary of a standby, names of slots |
//! | `parameters` | parameters of the engine in JSON |
//! | `setup` | an installation |
//! | `request` | what is asked for, whole and sound |
//! | `answer` | the texts that callers read |

mod answer;
mod environment;
mod pairs;
mod parameters;
mod port;
mod request;
mod setup;
mod topology;

pub use answer::{IS_SERVER_RUNNING, identifier, progress};
pub use environment::Environment;
pub use pairs::{Becomes, PAIRS, Pair, Part, Script, Task, find};
pub use request::{Asked, LogAgent, RecoveryConf, Request, STOP_MAX, Stop, read};
pub use setup::{STEP_LOCK, Setup};
