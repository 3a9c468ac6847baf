//! The SQL functions, statement by statement.

mod holes;
