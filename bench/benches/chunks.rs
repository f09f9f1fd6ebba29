//! The chunk reader beside rml_rtmp and beside a plain copy of the same bytes, and the writer.
//! Criterion gives the time of one pass and bytes a second; each line before it says how many
//! messages a pass has, and a checksum of the work.

#![expect(clippy::print_stdout, reason = "a checksum to look at")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater_bench::micro::{Chunks, Writing};

/// A minute of a 600 kbit/s stream: more than the cache of a core.
const MESSAGES: usize = 400;

fn reader(criterion: &mut Criterion) {
    for chunk_size in [128, 4_096, 65_536] {
        let mut chunks = Chunks::new(MESSAGES, chunk_size);
        let sum = chunks.read();
        assert_eq!(sum.items, MESSAGES as u64);
        assert_eq!(sum, chunks.read_with_rml());
        println!(
            "chunks of {chunk_size}: {} messages, check {:016x}",
            sum.items, sum.check
        );
        let mut group = criterion.benchmark_group(format!("reader/{chunk_size}"));
        group
            .sample_size(20)
            .throughput(Throughput::Bytes(chunks.len() as u64));
        group.bench_function("tailwater", |b| b.iter(|| black_box(&chunks).read()));
        group.bench_function("rml_rtmp", |b| {
            b.iter(|| black_box(&chunks).read_with_rml());
        });
        group.bench_function("memcpy", |b| b.iter(|| black_box(&mut chunks).copy()));
        group.finish();
    }
}

fn writer(criterion: &mut Criterion) {
    for chunk_size in [128, 4_096, 65_536] {
        let mut writing = Writing::new(MESSAGES, chunk_size);
        let sum = writing.write();
        assert_eq!(sum.items, MESSAGES as u64);
        println!(
            "chunks of {chunk_size}: {} messages, check {:016x}",
            sum.items, sum.check
        );
        let mut group = criterion.benchmark_group(format!("writer/{chunk_size}"));
        group
            .sample_size(20)
            .throughput(Throughput::Bytes(sum.bytes));
        group.bench_function("tailwater", |b| b.iter(|| black_box(&mut writing).write()));
        group.finish();
    }
}

criterion_group!(benches, reader, writer);
criterion_main!(benches);
