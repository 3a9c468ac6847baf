//! `#[windlass::step]`

use proc_macro2::TokenStream;
use quote::quote;
use syn::Result;

use crate::arguments::{Retry, StepArguments};
use crate::function::Function;

/// An attempt may take a minute, unless the step says otherwise.
const DEFAULT_TIMEOUT_US: u64 = 60_000_000;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = StepArguments::parse(arguments)?;
    let function = Function::parse(item, "step")?;
    let (body, ident, docs) = (&function.item, &function.item.sig.ident, function.docs());
    let (visibility, attributes) = (&body.vis, &body.attrs);
    let name = arguments.name.map_or_else(|| ident.to_string(), |name| name.value());
    let (input, pattern, call, value) =
        (function.input_type(), function.input_pattern(), function.call(), function.value_type());
    let (names, types): (Vec<_>, Vec<_>) =
        function.arguments.iter().map(|argument| (&argument.name, &argument.ty)).unzip();
    let (retry, timeout_us, http) =
        (retry(&arguments.retry), arguments.timeout_us.unwrap_or(DEFAULT_TIMEOUT_US), arguments.http);
    let total_timeout_us = match arguments.total_timeout_us {
        Some(total) => quote!(::std::option::Option::Some(#total)),
        None => quote!(::std::option::Option::None),
    };
    let mut body = body.clone();
    body.vis = syn::Visibility::Inherited;
    body.attrs.retain(|attribute| !attribute.path().is_ident("doc"));
    Ok(quote! {
        #(#attributes)*
        #visibility fn #ident(#(#names: #types),*) -> ::windlass::step::StepCall<#value> {
            ::windlass::step::StepCall::new(#name, &#pattern)
        }

        const _: () = {
            // The caller above hides it from the rest of the crate; here is the code that runs in the step.
            #body

            ::windlass::__private::inventory::submit! {
                ::windlass::__private::Step {
                    name: #name,
                    docs: #docs,
                    input_schema: ::windlass::__private::schema::<#input>,
                    output_schema: ::windlass::__private::schema::<#value>,
                    retry: #retry,
                    timeout_us: #timeout_us,
                    total_timeout_us: #total_timeout_us,
                    http: &[#(#http),*],
                    run: |payload| ::std::boxed::Box::pin(async move {
                        let #pattern = ::windlass::__private::decode::<#input>("the step's input", &payload)?;
                        ::windlass::__private::encode(&#call?)
                    }),
                }
            }
        };
    })
}

fn retry(retry: &Retry) -> TokenStream {
    let Retry { max_attempts, initial_us, factor, maximum_us, jitter } = retry;
    let policy = quote!(::windlass::__private::RetryPolicy);
    let duration = |us| quote!(::std::time::Duration::from_micros(#us));
    // Each field by name: with `..DEFAULT`, Clippy would scold an author who gives them all.
    let fields = [
        (quote!(max_attempts), max_attempts.map(|value| quote!(#value))),
        (quote!(initial), initial_us.map(duration)),
        (quote!(factor), factor.map(|value| quote!(#value))),
        (quote!(maximum), maximum_us.map(duration)),
        (quote!(jitter), jitter.map(|value| quote!(#value))),
    ];
    let fields = fields.map(|(name, value)| {
        let value = value.unwrap_or_else(|| quote!(#policy::DEFAULT.#name));
        quote!(#name: #value)
    });
    quote!(#policy { #(#fields),* })
}
