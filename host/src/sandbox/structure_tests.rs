use super::*;
use crate::model::GuestLimits;
use crate::sandbox::StructureLimits;

/// Three of everything.
fn few() -> Limits {
    let structure = StructureLimits {
        nesting: 3,
        functions: 3,
        function_bytes: 20,
        locals: 3,
        types: 3,
        globals: 3,
        imports: 3,
        exports: 3,
        data_segments: 3,
        element_segments: 3,
        modules: 3,
        components: 3,
        instances: 3,
        arguments: 3,
        aliases: 3,
        custom_sections: 3,
        name_bytes: 3,
    };
    let guest =
        GuestLimits { tables: 3, memories: 3, table_elements: 30, memory_bytes: 3 << 16, ..GuestLimits::default() };
    Limits { structure, guest, ..Limits::default() }
}

fn refused(bytes: &[u8], limits: &Limits) -> String {
    let rejection = check_structure(bytes, limits).expect_err("refused");
    assert_eq!(rejection.code, "component-too-complex", "{rejection}");
    rejection.message
}

/// So many of something in one module.
fn module(item: &str, count: usize) -> String {
    format!("(component (core module {}))", item.repeat(count))
}

fn component(item: &str, count: usize) -> String {
    format!("(component {})", item.repeat(count))
}

#[test]
fn each_cap_lets_through_what_it_names_and_no_more() {
    let cases = [
        ("4 functions", module("(func)", 3), module("(func)", 4)),
        ("4 types", module("(type (func))", 3), module("(type (func))", 4)),
        ("4 tables", module("(table 0 funcref)", 3), module("(table 0 funcref)", 4)),
        ("4 memories", module("(memory 0)", 3), module("(memory 0)", 4)),
        ("4 globals", module("(global i32 (i32.const 0))", 3), module("(global i32 (i32.const 0))", 4)),
        ("4 imports", module(r#"(import "a" "b" (func))"#, 3), module(r#"(import "a" "b" (func))"#, 4)),
        ("4 exports", module(r#"(export "a" (func 0))"#, 3), module(r#"(export "a" (func 0))"#, 4)),
        ("4 arguments of instances", arguments(3), arguments(4)),
        ("4 data segments", module(r#"(data "a")"#, 3), module(r#"(data "a")"#, 4)),
        ("4 element segments", module("(elem funcref)", 3), module("(elem funcref)", 4)),
        ("4 core modules", component("(core module)", 3), component("(core module)", 4)),
        ("4 nested components", component("(component)", 3), component("(component)", 4)),
        ("4 instances", component("(instance)", 3), component("(instance)", 4)),
        ("4 types", component("(type string)", 3), component("(type string)", 4)),
        ("4 aliases", nested_aliases(3), nested_aliases(4)),
        ("4 custom sections", component(r#"(@custom "a" "")"#, 3), component(r#"(@custom "a" "")"#, 4)),
        ("a table begins with 31 elements", module("(table 30 funcref)", 1), module("(table 31 funcref)", 1)),
        ("a memory begins with 262144 bytes", module("(memory 3)", 1), module("(memory 4)", 1)),
        ("a name of 4 bytes", component(r#"(@custom "abc" "")"#, 1), component(r#"(@custom "abcd" "")"#, 1)),
        (
            "a function with 4 locals",
            module("(func (local i32 i64 i64))", 1),
            module("(func (local i32 i64 i64 i32))", 1),
        ),
        ("a function of 21 bytes", function(20), function(21)),
    ];
    let limits = few();
    for (message, most, more) in cases {
        check_structure(&wat::parse_str(&most).unwrap(), &limits).unwrap_or_else(|error| panic!("{most}: {error}"));
        let refused = refused(&wat::parse_str(&more).unwrap(), &limits);
        assert!(refused.contains(&format!(": {message}, and ")), "{more}: {refused}");
        assert!(refused.starts_with("at byte 0x") && refused.contains(" are the most; "), "{refused}");
    }
}

/// A function with a body of so many bytes: a number of locals and an end, and what does nothing between them.
fn function(bytes: usize) -> String {
    format!("(component (core module (func {})))", "nop ".repeat(bytes - 2))
}

fn nested_aliases(count: usize) -> String {
    format!("(component (type string) (component {}))", "(alias outer 1 0 (type))".repeat(count))
}

fn arguments(count: usize) -> String {
    let arguments = r#"(with "a" (instance 0))"#.repeat(count);
    format!("(component (core module) (core instance) (core instance (instantiate 0 {arguments})))")
}

#[test]
fn what_is_counted_is_counted_over_all_modules() {
    let two = wat::parse_str("(component (core module (func) (func)) (core module (func) (func)))").unwrap();
    assert!(refused(&two, &few()).contains(": 4 functions, and 3 are the most; "));
}

#[test]
fn a_number_that_is_a_lie_is_refused_before_anything_is_read() {
    // A section of data that announces four thousand million segments, and has none.
    let module = [&b"\0asm\x01\0\0\0"[..], &[11, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    let section = [&[1, u8::try_from(module.len()).unwrap()][..], &module].concat();
    let component = [&b"\0asm\x0d\0\x01\0"[..], &section].concat();
    assert!(refused(&component, &Limits::default()).contains(": 4294967295 data segments, and "));
}

/// On a stack that would not hold a recursion of a thousandth of it.
fn on_a_small_stack(bytes: Vec<u8>) -> Result<(), Rejection> {
    let walk = move || check_structure(&bytes, &Limits::default());
    std::thread::Builder::new().stack_size(256 << 10).spawn(walk).unwrap().join().unwrap()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(0x80 | u8::try_from(length & 0x7f).unwrap());
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    [bytes, content.to_vec()].concat()
}

#[test]
fn a_million_types_in_each_other_take_no_stack() {
    for kind in [0x41, 0x42] {
        // One type; and in each one declaration, which is a type.
        let mut content = vec![1];
        content.extend([kind, 1, 1].repeat(1_000_000));
        let component = [&b"\0asm\x0d\0\x01\0"[..], &section(7, &content)].concat();
        let rejection = on_a_small_stack(component).unwrap_err();
        assert_eq!(rejection.code, "component-too-complex");
        assert!(rejection.message.contains(": types nested 17 deep, and 16 are the most; "), "{rejection}");
    }
}

#[test]
fn components_in_each_other_take_no_stack() {
    let header = b"\0asm\x0d\0\x01\0";
    let mut component = header.to_vec();
    for _ in 0..2_000 {
        component = [&header[..], &section(4, &component)].concat();
    }
    let rejection = on_a_small_stack(component).unwrap_err();
    assert!(rejection.message.contains(": components nested 17 deep, and 16 are the most; "), "{rejection}");
}

#[test]
fn types_that_are_not_nested_too_deeply_are_read_to_their_end() {
    let component = wat::parse_str(
        r#"(component
            (type (component
                (core type (module (import "a" "b" (func)) (export "c" (func))))
                (type $a (record (field "f" string)))
                (import "i" (type (eq $a)))
                (type (instance (type (func)) (export "g" (func (type 0)))))
                (export "e" (instance (type 2)))))
            (type (func (param "p" (list u8)) (result string))))"#,
    )
    .unwrap();
    check_structure(&component, &Limits::default()).unwrap();
}

#[test]
fn what_cannot_be_read_is_not_valid() {
    let component = [&b"\0asm\x0d\0\x01\0"[..], &section(7, &[1, 0x42, 1, 9])].concat();
    let rejection = check_structure(&component, &Limits::default()).unwrap_err();
    assert_eq!(rejection.to_string(), "invalid-component: at byte 0xd: 0x9 begins no declaration of a type");
}
