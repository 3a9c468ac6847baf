//! How a test names a workflow.

use std::any::TypeId;

use serde_json::Value;

use crate::registry;
use crate::{__private::inventory, Result};

/// A workflow, as a test names it: its function, which says what its result is, or its name.
///
/// `M` is for the compiler, to tell functions of one argument from those of two.
///
/// ```
/// #[windlass::workflow(name = "greetings/hello")]
/// async fn hello(name: String) -> windlass::Result<String> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// let test = windlass::testing::Test::new();
/// assert_eq!(test.start(hello, "Ada").result().unwrap(), "Hello, Ada!");
/// assert_eq!(test.start("greetings/hello", "Ada").result_json().unwrap(), "Hello, Ada!");
/// ```
#[diagnostic::on_unimplemented(message = "`{Self}` is neither a function with `#[windlass::workflow]` nor a name")]
pub trait Workflow<M>: sealed::Find<M> {
    /// What it gives when all goes well.
    type Value;
}

mod sealed {
    /// Keeps the trait from being implemented elsewhere.
    pub trait Find<M> {
        /// In the registry.
        fn find(&self) -> &'static crate::registry::Workflow;
    }
}

pub(super) use sealed::Find;

fn all() -> impl Iterator<Item = &'static registry::Workflow> {
    inventory::iter::<registry::Workflow>.into_iter()
}

/// The workflow of this name, if there is one.
pub(super) fn named(name: &str) -> Option<&'static registry::Workflow> {
    let mut found = all().filter(|workflow| workflow.name == name);
    let first = found.next();
    let more = found.count();
    assert!(more == 0, "{} workflows are called `{name}`", more + 1);
    first
}

impl Find<Value> for &str {
    fn find(&self) -> &'static registry::Workflow {
        named(self).unwrap_or_else(|| {
            panic!("no workflow is called `{self}`; there are {:?}", all().map(|w| w.name).collect::<Vec<_>>())
        })
    }
}

impl Workflow<Value> for &str {
    type Value = Value;
}

/// The type of a function that stands for itself only.
#[doc(hidden)]
pub fn type_id<F: 'static>(_function: &F) -> TypeId {
    TypeId::of::<F>()
}

macro_rules! functions {
    ($(($($argument:ident)*))+) => {$(
        impl<F, O, T, $($argument),*> Find<fn($($argument),*) -> T> for F
        where
            F: Fn($($argument),*) -> O + 'static,
            O: Future<Output = Result<T>>,
        {
            fn find(&self) -> &'static registry::Workflow {
                all().find(|workflow| (workflow.function)() == TypeId::of::<F>()).unwrap_or_else(|| {
                    panic!("`{}` does not carry `#[windlass::workflow]`", std::any::type_name::<F>())
                })
            }
        }

        impl<F, O, T, $($argument),*> Workflow<fn($($argument),*) -> T> for F
        where
            F: Fn($($argument),*) -> O + 'static,
            O: Future<Output = Result<T>>,
        {
            type Value = T;
        }
    )+};
}

functions!(()(A)(A B)(A B C)(A B C D)(A B C D E)(A B C D E G)(A B C D E G H)(A B C D E G H I));
