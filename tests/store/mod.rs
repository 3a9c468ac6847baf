//! The SQL functions, statement by statement.

mod claims;
mod holes;
mod interleavings;
mod moves;
mod pages;
mod queueing;
mod resumes;
mod retention;
mod rows_read;
mod seals;
mod search;
mod second_wall;
mod sql;
mod strikes;
mod tags;
mod tenants;
mod tls;
