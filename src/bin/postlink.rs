//! `postlink IN OUT`: the last step of `make build`. Cuts a linked module down
//! to the callbacks that the host is to call and the host functions that the
//! filter is to call.
//!
//! The SDK exports all its callbacks, and the host calls each exported one on
//! every request of the mesh. Ours stand beside them, under names of their own.
//! The SDK's traits also carry default methods for the whole ABI: they stand in the
//! vtables, so the linker keeps their imports though nobody calls them.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};
use walrus::{
    FunctionBuilder, FunctionId, FunctionKind, ImportKind, Module, ModuleConfig, ValType, passes,
};

/// All that the module exports, as the host knows it and as the linker left it:
/// its memory, its start, and our callbacks in the place of the SDK's, which a
/// module without ours keeps.
const EXPORTS: [(&str, &str); 8] = [
    ("memory", "memory"),
    ("_initialize", "_initialize"),
    ("proxy_abi_version_0_2_1", "proxy_abi_version_0_2_1"),
    ("proxy_on_memory_allocate", "bluegreen_on_memory_allocate"),
    ("proxy_on_context_create", "bluegreen_on_context_create"),
    ("proxy_on_configure", "bluegreen_on_configure"),
    ("proxy_on_request_headers", "bluegreen_on_request_headers"),
    ("proxy_on_response_headers", "bluegreen_on_response_headers"),
];

/// All that the module may import, by module and name.
const IMPORTS: [(&str, &str); 20] = [
    ("env", "proxy_log"),
    ("env", "proxy_set_effective_context"),
    ("env", "proxy_get_buffer_bytes"),
    ("env", "proxy_get_header_map_pairs"),
    ("env", "proxy_get_header_map_value"),
    ("env", "proxy_add_header_map_value"),
    ("env", "proxy_replace_header_map_value"),
    ("env", "proxy_remove_header_map_value"),
    ("env", "proxy_get_property"),
    ("env", "proxy_set_property"),
    ("env", "proxy_get_current_time_nanoseconds"),
    ("env", "proxy_call_foreign_function"),
    ("env", "proxy_define_metric"),
    ("env", "proxy_increment_metric"),
    ("env", "proxy_record_metric"),
    ("env", "proxy_get_metric"),
    ("env", "proxy_get_shared_data"),
    ("env", "proxy_set_shared_data"),
    (WASI, "random_get"),
    (WASI, "proc_exit"),
];

const WASI: &str = "wasi_snapshot_preview1";

/// What a host function answers once it is cut off: `InternalFailure` of the
/// proxy-wasm ABI, `ENOSYS` of WASI.
const REFUSALS: [(&str, i32); 2] = [("env", 10), (WASI, 52)];

/// The size that the module must not pass, in bytes.
const MAX_SIZE: usize = 250_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: postlink IN.wasm OUT.wasm");
        return ExitCode::from(2);
    };
    match run(input.as_ref(), output.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postlink: {}: {error}", Path::new(input).display());
            ExitCode::FAILURE
        }
    }
}

fn run(input: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let linked = fs::read(input)?;
    let mut module = ModuleConfig::new().parse(&linked)?;
    let has_export = |name: &str| module.exports.iter().any(|export| export.name == name);
    let has_ours = EXPORTS.iter().all(|(_, ours)| has_export(ours));
    keep_exports(&mut module)?;
    if has_ours {
        empty_what_only_their_callbacks_call(&mut module);
    }
    // Twice: what only a dropped callback imports is gone and needs no refusal.
    passes::gc::run(&mut module);
    refuse_imports(&mut module)?;
    passes::gc::run(&mut module);
    write_names_as_sources_do(&mut module);
    let cut = module.emit_wasm();
    if cut.len() > MAX_SIZE {
        return Err(format!("{} bytes are more than {MAX_SIZE}", cut.len()).into());
    }
    fs::write(output, cut)?;
    Ok(())
}

/// Exports what stands in `EXPORTS`, by the host's names, and nothing else.
fn keep_exports(module: &mut Module) -> Result<(), Box<dyn Error>> {
    let mut items = Vec::new();
    for (host, ours) in EXPORTS {
        let named = |name| module.exports.iter().find(|export| export.name == name);
        let export = named(ours).or_else(|| named(host));
        let export = export.ok_or_else(|| format!("the module does not export {ours}"))?;
        items.push((host, export.item));
    }
    let linked: Vec<_> = module.exports.iter().map(walrus::Export::id).collect();
    for id in linked {
        module.exports.delete(id);
    }
    for (name, item) in items {
        module.exports.add(name, item);
    }
    Ok(())
}

/// Empties the default methods of the SDK's traits. They stand in vtables, so they look
/// used, with all that they use in their turn: a twentieth of the module. But only the
/// SDK's callbacks call them, and these are gone where ours are in their place.
fn empty_what_only_their_callbacks_call(module: &mut Module) {
    /// As Rust before 1.96 names them, `proxy_wasm::traits::Context::on_done`.
    const METHODS: &str = "proxy_wasm::traits::";
    /// As it names them since, `<TYPE as proxy_wasm::traits::Context>::on_done`. The filter
    /// has no types of these traits, so that all of them are the SDK's.
    const OF_TYPES: &str = " as proxy_wasm::traits::";
    let is_method = |name: &str| {
        let name = plain(name);
        name.starts_with(METHODS) || name.starts_with('<') && name.contains(OF_TYPES)
    };
    let all: Vec<_> = module
        .funcs
        .iter_local()
        .filter(|(id, _)| module.funcs.get(*id).name.as_deref().is_some_and(is_method))
        .map(|(id, function)| (id, function.ty(), function.args.clone()))
        .collect();
    for (id, ty, arguments) in all {
        let (params, results) = module.types.params_results(ty);
        let (params, results) = (params.to_vec(), results.to_vec());
        let mut builder = FunctionBuilder::new(&mut module.types, &params, &results);
        builder.func_body().unreachable();
        module.funcs.get_mut(id).kind = FunctionKind::Local(builder.local_func(arguments));
    }
}

/// Returns the name of a function as its source has it.
fn plain(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Names functions as their sources do, without the compiler's signs and numbers: Envoy's
/// backtraces show these names as they are. It also saves a tenth of the module.
fn write_names_as_sources_do(module: &mut Module) {
    /// Names of generic functions say all their types.
    const LONGEST: usize = 120;
    for function in module.funcs.iter_mut() {
        if let Some(name) = &mut function.name {
            *name = plain(name).chars().take(LONGEST).collect();
        }
    }
}

/// A host function that the module is not to call.
struct Unlisted {
    function: FunctionId,
    name: String,
    refusal: i32,
}

/// Puts a local function that answers the refusal in the place of each import
/// that is not in `IMPORTS`.
fn refuse_imports(module: &mut Module) -> Result<(), Box<dyn Error>> {
    for Unlisted {
        function,
        name,
        refusal,
    } in unlisted_imports(module)?
    {
        let results = module.types.results(module.funcs.get(function).ty());
        if results != [ValType::I32] {
            return Err(format!("{name} answers no status: list it or do without it").into());
        }
        module.replace_imported_func(function, |(body, _)| {
            body.i32_const(refusal);
        })?;
        module.funcs.get_mut(function).name = Some(format!("refused:{name}"));
    }
    Ok(())
}

fn unlisted_imports(module: &Module) -> Result<Vec<Unlisted>, Box<dyn Error>> {
    let mut unlisted = Vec::new();
    for import in module.imports.iter() {
        let (from, name) = (import.module.as_str(), import.name.as_str());
        if IMPORTS.contains(&(from, name)) {
            continue;
        }
        let refusal = REFUSALS.iter().find(|(module, _)| *module == from);
        let (ImportKind::Function(function), Some((_, refusal))) = (&import.kind, refusal) else {
            return Err(format!("the module imports {from}.{name}").into());
        };
        unlisted.push(Unlisted {
            function: *function,
            name: format!("{from}.{name}"),
            refusal: *refusal,
        });
    }
    Ok(unlisted)
}
