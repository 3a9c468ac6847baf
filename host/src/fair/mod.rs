//! Sharing between namespaces: whoever asks for more than its share waits, and nobody else does.
//!
//! | what is shared | how | used for |
//! |---|---|---|
//! | places that are held for a while | [`Places`]: a namespace may hold four times what is free | runs that a host is at, steps, turns that take long, sessions of the database |
//! | places for what takes seconds and memory | [`Line`]: so many in all, so many for one, and lines that end | uploads, compiling, trials of versions |
//! | processors, for work that gives way every few milliseconds | [`Processors`]: whoever has used least goes next, and one is left to the host | steps and turns that take long |
//! | the threads that all share | [`Window`]: a part of each tenth of a second | turns and steps that are over at once |
//!
//! All of it is work-conserving in the large: one namespace alone is held back by none of it. It knows nothing of what the
//! places and the processors are for.

mod line;
mod places;
mod processors;
mod window;

pub use line::{Busy, Line, LinePlace, LineRules};
pub use places::{Held, Places};
pub use processors::{Fairly, Processors, Turn as ProcessorTurn};
pub use window::Window;
