//! A pod of PolarDB Stack: an engine's and a manager's container over one /data and one /log, with the files of `rootfs/`
//! at their places and the command lines of the operator and of ClusterManager, to the letter.

mod bed;
mod calls;
mod interrupted;
mod life;
mod shims;
mod standby;
mod users;
