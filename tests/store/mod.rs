//! The SQL functions, statement by statement.

mod holes;
mod interleavings;
mod moves;
mod pages;
mod retention;
mod seals;
mod search;
mod second_wall;
mod sql;
mod strikes;
mod tenants;
mod tls;
