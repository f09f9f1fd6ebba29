//! A stream's log in memory: one round is three messages in, one slice out for each of 10,000
//! cursors, and what is old freed. What is left of egress when sockets cost nothing. And what it
//! costs to make tags of the messages, beside taking them.

#![expect(clippy::print_stdout, reason = "a checksum to look at")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tailwater::stream::flv::Framing;
use tailwater_bench::micro::Following;

const CURSORS: usize = 10_000;
const MESSAGES: usize = 3;

fn follow(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    let mut following = Following::new(CURSORS);
    let sum = following.round(MESSAGES);
    assert_eq!(sum.items, CURSORS as u64);
    println!("{} slices, check {:016x}", sum.items, sum.check);
    group.throughput(Throughput::Elements(CURSORS as u64));
    group.bench_function("10,000 cursors", |b| {
        b.iter(|| black_box(&mut following).round(MESSAGES));
    });
    let mut alone = Following::new(0);
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("append", |b| {
        b.iter(|| black_box(&mut alone).round(MESSAGES));
    });
    for (name, framing) in [
        ("append and make tags", Framing::Plain),
        ("append and make tags in frames", Framing::WebSocket),
    ] {
        let mut tagged = Following::new(0).with_tags(framing);
        group.bench_function(name, |b| {
            b.iter(|| black_box(&mut tagged).round(MESSAGES));
        });
        println!("{} bytes of tags", tagged.tag_bytes());
    }
    group.finish();
}

criterion_group!(benches, follow);
criterion_main!(benches);
