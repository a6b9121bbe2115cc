//! `polarctl image build` with a `docker` that only says what it was called with, and the real git.

mod faults;
mod page;
mod repo;
mod run;
mod yard;
