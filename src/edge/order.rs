//! Which of several servers a stream belongs to: rendezvous hashing. Each pair of stream and
//! server has a weight; the servers of a stream are taken from the heaviest on. When one goes,
//! only its streams move, and each to its own second choice.

/// Indices of `servers` in the order in which the stream `name` is to be asked for.
pub fn order<'a>(name: &str, servers: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let weighed = servers.map(|server| weight(name, server));
    let mut order: Vec<(u64, usize)> = weighed.zip(0..).collect();
    order.sort_unstable_by(|left, right| right.cmp(left));
    order.into_iter().map(|(_, index)| index).collect()
}

/// FNV-1a over both, then mixed: its high bits depend too little on the last bytes.
fn weight(name: &str, server: &str) -> u64 {
    let bytes = name.bytes().chain([0]).chain(server.bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let mixed = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed ^ mixed >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 4] = ["one:1935", "two:1935", "three:1935", "four:1935"];

    fn first(name: &str, servers: &[&str]) -> String {
        servers[order(name, servers.iter().copied())[0]].to_owned()
    }

    #[test]
    fn streams_spread_evenly_and_stay_where_they_are() {
        let mut counts = [0; 4];
        for number in 0..4_000 {
            let name = format!("live/{number}");
            let order = order(&name, SERVERS.into_iter());
            assert_eq!(order.len(), 4);
            counts[order[0]] += 1;
        }
        for count in counts {
            assert!((850..1_150).contains(&count), "{counts:?}");
        }
    }

    #[test]
    fn when_a_server_goes_only_its_streams_move() {
        for number in 0..1_000 {
            let name = format!("live/{number}");
            let before = first(&name, &SERVERS);
            let after = first(&name, &SERVERS[..3]);
            assert!(before == after || before == SERVERS[3], "{name}");
            // The order in which the servers are given means nothing.
            let mut reversed = SERVERS;
            reversed.reverse();
            assert_eq!(first(&name, &reversed), before);
        }
    }
}
