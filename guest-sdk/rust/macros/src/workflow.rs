//! `#[windlass::workflow]`

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Result, Type};

use crate::arguments::WorkflowArguments;
use crate::function::Function;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = WorkflowArguments::parse(arguments)?;
    let function = Function::parse(item, "workflow")?;
    if let Some(borrowed) = function.arguments.iter().find(|argument| matches!(argument.ty, Type::Reference(_))) {
        return Err(Error::new_spanned(&borrowed.ty, "a workflow owns its input: take it by value"));
    }
    let (item, ident, docs) = (&function.item, &function.item.sig.ident, function.docs());
    let name = arguments.name.map_or_else(|| ident.to_string(), |name| name.value());
    let (input, pattern, call, value) =
        (function.input_type(), function.input_pattern(), function.call(), function.value_type());
    Ok(quote! {
        #item

        const _: () = {
            ::windlass::__private::inventory::submit! {
                ::windlass::__private::Workflow {
                    name: #name,
                    docs: #docs,
                    input_schema: ::windlass::__private::schema::<#input>,
                    output_schema: ::windlass::__private::schema::<#value>,
                    start: |payload| ::std::boxed::Box::pin(async move {
                        let #pattern = ::windlass::__private::decode::<#input>("the workflow's input", &payload)?;
                        ::std::mem::drop(payload);
                        ::windlass::__private::encode(&#call?)
                    }),
                    #[cfg(not(target_family = "wasm"))]
                    function: || ::windlass::__private::type_id(&#ident),
                }
            }
        };
    })
}
