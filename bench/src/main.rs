//! The benchmarks of Portcullis, beside other crates: `just bench`, or one part of it: `just bench gate`, `just bench grants`,
//! `just bench client`, `just bench bridge`.
//!
//! Prints tables; writes a part of `docs/benchmarks.md` and `target/bench/<part>.json` for each, and `docs/benchmarks.svg`.

mod alloc;
mod bridge;
mod calls;
mod client;
mod concurrent_requests;
mod gate;
mod grants;
mod hits;
#[path = "../../tests/scenarios/load/mod.rs"]
mod load;
mod mcp;
mod measure;
mod outage;
mod page;
mod peers;
mod plot;
mod population;
mod provider;
mod report;
mod stampede;
mod throughput;
mod unknown_kid;

use std::{env, error::Error, fs, path::Path, rc::Rc};

use measure::{Measured, measure};

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Rounds of the cases that are timed.
const ROUNDS: usize = 400;

/// The measurements of the authentication layer.
struct Results {
    hits: Vec<Measured>,
    population: Vec<Measured>,
    bytes_per_context: f64,
    stampede: stampede::Stampede,
    outages: [outage::Outage; 2],
    unknown_kid_fetches: usize,
    throughput: [throughput::Throughput; 2],
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("a repository around this crate")?;
    let wanted: Vec<_> = env::args().skip(1).collect();
    if wanted == ["--provider"] {
        return bridge::serve_provider();
    }
    if let Some(unknown) = wanted.iter().find(|part| !page::PARTS.contains(&part.as_str())) {
        return Err(format!("no part {unknown:?}; there are {}", page::PARTS.join(" and ")).into());
    }
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    fs::create_dir_all(root.join("target/bench"))?;
    if is_wanted("gate") {
        bench_gate(root)?;
    }
    if is_wanted("grants") {
        bench_grants(root)?;
    }
    if is_wanted("client") {
        bench_client(root)?;
    }
    if is_wanted("bridge") {
        bench_bridge(root)?;
    }
    Ok(())
}

fn bench_gate(root: &Path) -> Result<(), Box<dyn Error>> {
    let results = run()?;
    let numbers = gate::numbers(&results);
    let promises = gate::promises(&numbers);
    let table = report::table(&results, &promises);
    println!("{table}");
    fs::write(root.join("target/bench/gate.json"), serde_json::to_string_pretty(&numbers)? + "\n")?;
    page::write(root, "gate", &report::text(&table))?;
    fs::write(root.join("docs/benchmarks.svg"), plot::svg(&results.hits))?;
    Ok(())
}

fn bench_grants(root: &Path) -> Result<(), Box<dyn Error>> {
    let results = grants::run(&root.join("target/bench"))?;
    let text = grants::text(&results);
    println!("{text}");
    let numbers = serde_json::to_string_pretty(&grants::numbers(&results))?;
    fs::write(root.join("target/bench/grants.json"), numbers + "\n")?;
    page::write(root, "grants", &text)?;
    Ok(())
}

fn bench_client(root: &Path) -> Result<(), Box<dyn Error>> {
    let results = client::run(&root.join("target/bench"))?;
    let text = client::text(&results);
    println!("{text}");
    let numbers = serde_json::to_string_pretty(&client::numbers(&results))?;
    fs::write(root.join("target/bench/client.json"), numbers + "\n")?;
    page::write(root, "client", &text)?;
    Ok(())
}

fn bench_bridge(root: &Path) -> Result<(), Box<dyn Error>> {
    let results = bridge::run(&root.join("target/bench"))?;
    let text = bridge::text(&results);
    println!("{text}");
    let numbers = serde_json::to_string_pretty(&bridge::numbers(&results))?;
    fs::write(root.join("target/bench/bridge.json"), numbers + "\n")?;
    page::write(root, "bridge", &text)?;
    Ok(())
}

fn run() -> Result<Results, Box<dyn Error>> {
    let runtime = Rc::new(tokio::runtime::Builder::new_current_thread().enable_all().build()?);
    let providers = runtime.block_on(provider::Providers::start())?;
    let tokens = providers.tokens();

    eprintln!("hits, here and at the peers ..");
    let mut cases = hits::cases(&runtime, &providers, &tokens)?;
    cases.extend(peers::cases(&runtime, &providers, &tokens)?);
    let hits = measure(cases, ROUNDS);

    eprintln!("throughput ..");
    let throughput = throughput::run(&runtime, &providers, &tokens)?;

    eprintln!("a million contexts ..");
    let filled = population::cases(&runtime)?;
    let mut population = measure(filled.cases, ROUNDS / 8);
    population.extend(measure(vec![filled.seldom], ROUNDS / 8));

    eprintln!("stampedes, outages, unknown keys ..");
    Ok(Results {
        hits,
        population,
        bytes_per_context: filled.bytes_per_context,
        stampede: stampede::run()?,
        outages: outage::run()?,
        unknown_kid_fetches: unknown_kid::run()?,
        throughput,
    })
}

/// Returns the median.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
