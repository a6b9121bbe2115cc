//! `install` on volumes of its own.

mod interrupted;
mod made;
mod refused;
mod volume;
