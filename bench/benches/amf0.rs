//! Decoding a connect command and onMetaData, every property looked at.

#![expect(clippy::print_stdout, reason = "a checksum to look at")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater_bench::micro::Values;

fn decode(criterion: &mut Criterion) {
    let values = Values::new();
    let sum = values.decode();
    assert!(sum.items > 40, "{sum:?}");
    println!("{} values and keys, check {:016x}", sum.items, sum.check);
    let mut group = criterion.benchmark_group("amf0");
    group.throughput(Throughput::Elements(sum.items));
    group.bench_function("decode", |b| b.iter(|| black_box(&values).decode()));
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
