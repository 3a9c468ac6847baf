//! What goes wrong, and what is promised nevertheless.

mod archive;
mod database_gone;
mod families;
mod kills;
mod limits;
mod poison;
mod rewinds;
mod stopping;
mod two_hosts;
mod zombie;
