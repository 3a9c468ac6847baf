//! What the macros say to an author who made a mistake, and where they point.

#[test]
fn mistakes_are_explained_at_the_author_s_own_line() {
    trybuild::TestCases::new().compile_fail("tests/macros/*.rs");
}
