//! What goes wrong, and what is promised nevertheless.

mod archive;
mod control;
mod database_gone;
mod editions;
mod families;
mod kills;
mod limits;
mod management;
mod poison;
mod rewinds;
mod stopping;
mod two_hosts;
mod zombie;
