//! What stands in the parentheses of an attribute.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Expr, ExprLit, Lit, LitFloat, LitInt, LitStr, Result};

/// Of `#[workflow(…)]`.
#[derive(Default)]
pub(crate) struct WorkflowArguments {
    pub(crate) name: Option<LitStr>,
}

impl WorkflowArguments {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut arguments = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("name") {
                arguments.name = Some(name(&meta)?);
                return Ok(());
            }
            Err(meta.error("a workflow takes `name = \"…\"`"))
        });
        parser.parse2(tokens)?;
        Ok(arguments)
    }
}

/// Of `#[step(…)]`. Durations in microseconds.
#[derive(Default)]
pub(crate) struct StepArguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) retry: Retry,
    pub(crate) timeout_us: Option<u64>,
    pub(crate) total_timeout_us: Option<u64>,
    pub(crate) http: Vec<LitStr>,
}

#[derive(Default)]
pub(crate) struct Retry {
    pub(crate) max_attempts: Option<u32>,
    pub(crate) initial_us: Option<u64>,
    pub(crate) factor: Option<f64>,
    pub(crate) maximum_us: Option<u64>,
    pub(crate) jitter: Option<f64>,
}

impl StepArguments {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut arguments = Self::default();
        let parser = syn::meta::parser(|meta| arguments.argument(&meta));
        parser.parse2(tokens)?;
        Ok(arguments)
    }

    fn argument(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            self.name = Some(name(meta)?);
        } else if meta.path.is_ident("timeout") {
            self.timeout_us = Some(duration_us(meta)?);
        } else if meta.path.is_ident("total_timeout") {
            self.total_timeout_us = Some(duration_us(meta)?);
        } else if meta.path.is_ident("http") {
            self.http = strings(meta)?;
        } else if meta.path.is_ident("retry") {
            meta.parse_nested_meta(|meta| self.retry.argument(&meta))?;
        } else {
            let message = "a step takes `retry(…)`, `timeout = \"…\"`, `total_timeout = \"…\"`, `http = [\"…\"]` and \
                           `name = \"…\"`";
            return Err(meta.error(message));
        }
        Ok(())
    }
}

impl Retry {
    fn argument(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("max_attempts") {
            let literal: LitInt = meta.value()?.parse()?;
            let attempts = literal.base10_parse()?;
            if !(1..=1_000_000).contains(&attempts) {
                return Err(syn::Error::new(literal.span(), "from 1 (never retried) to 1,000,000 attempts"));
            }
            self.max_attempts = Some(attempts);
        } else if meta.path.is_ident("initial") {
            self.initial_us = Some(duration_us(meta)?);
        } else if meta.path.is_ident("factor") {
            self.factor = Some(number(meta, 1.0, 100.0)?);
        } else if meta.path.is_ident("maximum") {
            self.maximum_us = Some(duration_us(meta)?);
        } else if meta.path.is_ident("jitter") {
            self.jitter = Some(number(meta, 0.0, 1.0)?);
        } else {
            return Err(meta.error("a retry policy takes `max_attempts`, `initial`, `factor`, `maximum` and `jitter`"));
        }
        Ok(())
    }
}

fn name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name: LitStr = meta.value()?.parse()?;
    let text = name.value();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(allowed) {
        return Err(syn::Error::new(name.span(), "a name has 1 to 128 letters, digits, `.`, `_`, `:`, `/` or `-`"));
    }
    Ok(name)
}

fn duration_us(meta: &ParseNestedMeta<'_>) -> Result<u64> {
    let literal: LitStr = meta.value()?.parse()?;
    let explain =
        |error| syn::Error::new(literal.span(), format!("no duration such as \"500ms\" or \"1h 30m\": {error}"));
    let duration = humantime::parse_duration(&literal.value()).map_err(explain)?;
    u64::try_from(duration.as_micros()).map_err(|_| syn::Error::new(literal.span(), "a duration is at most 100 years"))
}

fn number(meta: &ParseNestedMeta<'_>, least: f64, most: f64) -> Result<f64> {
    let literal: Lit = meta.value()?.parse()?;
    let number = match &literal {
        Lit::Float(float) => LitFloat::base10_parse(float)?,
        Lit::Int(int) => LitInt::base10_parse(int)?,
        _ => f64::NAN,
    };
    if !(least..=most).contains(&number) {
        return Err(syn::Error::new(literal.span(), format!("a number from {least} to {most}")));
    }
    Ok(number)
}

fn strings(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let value: Expr = meta.value()?.parse()?;
    let Expr::Array(array) = value else {
        return Err(syn::Error::new_spanned(value, "hosts in square brackets, such as [\"api.example.com\"]"));
    };
    let string = |element| match element {
        Expr::Lit(ExprLit { lit: Lit::Str(string), .. }) => Ok(string),
        other => Err(syn::Error::new_spanned(other, "a host in quotes, such as \"api.example.com\"")),
    };
    array.elems.into_iter().map(string).collect()
}
