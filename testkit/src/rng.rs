//! The one source of chance in a simulated world: splitmix64, so that a seed is a world.

/// See the module text.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Chance that begins with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "there is no end, and nothing to iterate over"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// 0 to `count - 1`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).unwrap()
    }

    /// `from` to `to - 1`.
    pub fn range(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from)
    }

    /// The same for times on the wire.
    pub fn millis(&mut self, from: u32, to: u32) -> u32 {
        from + u32::try_from(self.next() % u64::from((to - from).max(1))).unwrap()
    }

    /// True `permille` times out of a thousand.
    pub fn chance(&mut self, permille: usize) -> bool {
        self.below(1_000) < permille
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Fills `bytes` with what belongs to `seed` alone.
pub fn fill(bytes: &mut [u8], seed: u64) {
    let mut rng = Rng::new(seed);
    for piece in bytes.chunks_mut(8) {
        let word = rng.next().to_le_bytes();
        piece.copy_from_slice(&word[..piece.len()]);
    }
}
