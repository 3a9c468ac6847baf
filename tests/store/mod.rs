//! The SQL functions, statement by statement.

mod holes;
mod interleavings;
mod sql;
