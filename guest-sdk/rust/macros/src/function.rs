//! What workflows and steps have in common: an `async fn` whose arguments and result are JSON documents.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, Ident, ItemFn, PatType, Result, ReturnType, Type, TypeReference};

/// A function that passed the checks.
pub(crate) struct Function {
    pub(crate) item: ItemFn,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: Type,
}

pub(crate) struct Argument {
    /// A name for it that is sure to be one: the function may take it apart with a pattern.
    pub(crate) name: Ident,
    /// As written.
    pub(crate) ty: Type,
}

impl Function {
    /// `what`: "workflow" or "step".
    pub(crate) fn parse(tokens: TokenStream, what: &str) -> Result<Self> {
        let item: ItemFn = syn::parse2(tokens)
            .map_err(|error| Error::new(error.span(), format!("a {what} is an `async fn` with a body: {error}")))?;
        let signature = &item.sig;
        if signature.asyncness.is_none() {
            return Err(Error::new(signature.fn_token.span, format!("a {what} is an `async fn`")));
        }
        if let Some(parameter) = signature.generics.params.first() {
            let message = format!("a {what} has no generic parameters: its input and result have one JSON Schema");
            return Err(Error::new(parameter.span(), message));
        }
        for (token, text) in [
            (signature.unsafety.map(|token| token.span), "unsafe"),
            (signature.abi.as_ref().map(|abi| abi.extern_token.span), "extern"),
            (signature.constness.map(|token| token.span), "const"),
        ] {
            if let Some(span) = token {
                return Err(Error::new(span, format!("a {what} cannot be `{text}`")));
            }
        }
        let output = match &signature.output {
            ReturnType::Type(_, ty) => (**ty).clone(),
            ReturnType::Default => {
                let message =
                    format!("a {what} returns `windlass::Result<T>`; one without a result, `windlass::Result<()>`");
                return Err(Error::new(signature.ident.span(), message));
            }
        };
        let arguments =
            signature.inputs.iter().enumerate().map(|(n, input)| argument(n, input, what)).collect::<Result<_>>()?;
        Ok(Self { item, arguments, output })
    }

    /// The doc comment, as one string.
    pub(crate) fn docs(&self) -> String {
        let lines: Vec<_> = self.item.attrs.iter().filter_map(doc_line).collect();
        lines.join("\n")
    }

    /// The type that the input decodes to: `()`, the type of the only argument, or a tuple.
    pub(crate) fn input_type(&self) -> TokenStream {
        let types: Vec<_> = self.arguments.iter().map(Argument::owned_type).collect();
        match types.as_slice() {
            [only] => only.clone(),
            _ => quote!((#(#types),*)),
        }
    }

    /// A pattern that takes the decoded input apart into the arguments.
    pub(crate) fn input_pattern(&self) -> TokenStream {
        let names: Vec<_> = self.arguments.iter().map(|argument| &argument.name).collect();
        match names.as_slice() {
            [only] => quote!(#only),
            _ => quote!((#(#names),*)),
        }
    }

    /// The call of the function, awaited. Its return type is to blame if it is no `windlass::Result`.
    pub(crate) fn call(&self) -> TokenStream {
        let (ident, passed) = (&self.item.sig.ident, self.arguments.iter().map(Argument::passed));
        let awaited = quote!(#ident(#(#passed),*).await);
        quote_spanned!(self.output.span()=> ::windlass::__private::Returned::returned(#awaited))
    }

    /// The `T` of the `windlass::Result<T>` that it returns.
    pub(crate) fn value_type(&self) -> TokenStream {
        let output = &self.output;
        quote_spanned!(output.span()=> <#output as ::windlass::__private::Returned>::Value)
    }
}

fn argument(number: usize, input: &FnArg, what: &str) -> Result<Argument> {
    match input {
        FnArg::Receiver(receiver) => {
            Err(Error::new(receiver.span(), format!("a {what} is a plain function, without `self`")))
        }
        FnArg::Typed(PatType { ty, .. }) => {
            if let Type::ImplTrait(generic) = &**ty {
                let message = format!("a {what} has no generic parameters: its input and result have one JSON Schema");
                return Err(Error::new(generic.span(), message));
            }
            if let Type::Reference(TypeReference { mutability: Some(mutability), .. }) = &**ty {
                let message = format!("a {what} runs elsewhere: it cannot change its caller's values");
                return Err(Error::new(mutability.span, message));
            }
            Ok(Argument { name: format_ident!("argument_{number}", span = Span::mixed_site()), ty: (**ty).clone() })
        }
    }
}

impl Argument {
    /// What is read from the input, to be lent. Spelt out and not `<T as ToOwned>::Owned`, which would ask for `T: Clone`.
    fn owned_type(&self) -> TokenStream {
        match &self.ty {
            Type::Reference(TypeReference { elem, .. }) => match &**elem {
                Type::Path(path) if path.path.is_ident("str") => quote!(::std::string::String),
                Type::Slice(slice) => {
                    let item = &slice.elem;
                    quote!(::std::vec::Vec<#item>)
                }
                sized => quote!(#sized),
            },
            ty => quote!(#ty),
        }
    }

    fn passed(&self) -> TokenStream {
        let name = &self.name;
        match &self.ty {
            Type::Reference(_) => quote!(&#name),
            _ => quote!(#name),
        }
    }
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let syn::Meta::NameValue(meta) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &meta.value else { return None };
    meta.path.is_ident("doc").then(|| text.value().trim_end().strip_prefix(' ').map_or(text.value(), str::to_owned))
}
