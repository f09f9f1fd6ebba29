//! Collections with keys and indices of types of their own, see ids.rs.
//!
//! The keys of a `Table` have a generation beside their slot: a key of something that is gone
//! finds nothing, also when the slot has been taken again.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::ids::{GENERATIONS, ListIndex, TableKey, narrow};

/// Entries by keys that are never used for two of them.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    entries: Slab<(u32, V)>,
    generation: u32,
    keys: PhantomData<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            generation: 0,
            keys: PhantomData,
        }
    }
}

impl<K: TableKey, V> Table<K, V> {
    /// Adds an entry.
    pub(super) fn insert(&mut self, value: V) -> K {
        let generation = self.generation;
        self.generation = (generation + 1) % GENERATIONS;
        let slot = self.entries.insert((generation, value));
        key_of(slot, generation)
    }

    /// The entry with this key, unless it is gone.
    pub(super) fn get(&self, key: K) -> Option<&V> {
        let (generation, value) = self.entries.get(key.slot() as usize)?;
        (*generation == key.generation()).then_some(value)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (generation, value) = self.entries.get_mut(key.slot() as usize)?;
        (*generation == key.generation()).then_some(value)
    }

    /// Whether there is an entry with this key.
    pub(super) fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        if !self.contains(key) {
            return None;
        }
        let removed = self.entries.try_remove(key.slot() as usize);
        removed.map(|(_, value)| value)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries, in the order of their slots.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> {
        let entries = self.entries.iter();
        entries.map(|(slot, (generation, value))| (key_of(slot, *generation), value))
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (K, &mut V)> {
        let entries = self.entries.iter_mut();
        entries.map(|(slot, (generation, value))| (key_of(slot, *generation), value))
    }

    /// Takes all entries out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = V> {
        self.entries.drain().map(|(_, value)| value)
    }

    /// The keys of all entries there are now.
    pub(super) fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }
}

fn key_of<K: TableKey>(slot: usize, generation: u32) -> K {
    K::new(narrow(slot), generation)
}

impl<K: TableKey + fmt::Debug, V> Index<K> for Table<K, V> {
    type Output = V;

    fn index(&self, key: K) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => gone(&key),
        }
    }
}

impl<K: TableKey + fmt::Debug, V> IndexMut<K> for Table<K, V> {
    fn index_mut(&mut self, key: K) -> &mut V {
        match self.get_mut(key) {
            Some(value) => value,
            None => gone(&key),
        }
    }
}

#[cold]
#[expect(clippy::panic, reason = "as with any index that is out of bounds")]
fn gone(key: &dyn fmt::Debug) -> ! {
    panic!("{key:?} is gone")
}

/// A list whose entries have an index of a type of their own.
#[derive(Clone, Debug)]
pub struct List<I, T> {
    entries: Vec<T>,
    indices: PhantomData<I>,
}

impl<I, T> Default for List<I, T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<I, T> From<Vec<T>> for List<I, T> {
    fn from(entries: Vec<T>) -> Self {
        Self {
            entries,
            indices: PhantomData,
        }
    }
}

impl<I, T> FromIterator<T> for List<I, T> {
    fn from_iter<Entries: IntoIterator<Item = T>>(entries: Entries) -> Self {
        Self::from(Vec::from_iter(entries))
    }
}

impl<I: ListIndex, T> List<I, T> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there is space for.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// The entry at `index`; `None` when the list is shorter.
    pub fn get(&self, index: I) -> Option<&T> {
        self.entries.get(index.index())
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, index: I) -> Option<&mut T> {
        self.entries.get_mut(index.index())
    }

    /// All entries, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.entries.iter_mut()
    }

    /// The entries as a slice.
    pub fn as_slice(&self) -> &[T] {
        &self.entries
    }

    /// All indices that there are now, in order.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = I> + use<I, T> {
        (0..self.entries.len()).map(I::new)
    }

    /// Adds an entry at the end.
    pub fn push(&mut self, entry: T) -> I {
        self.entries.push(entry);
        I::new(self.entries.len() - 1)
    }

    /// Takes an entry out; the last takes its place.
    pub fn swap_remove(&mut self, index: I) -> T {
        self.entries.swap_remove(index.index())
    }

    /// Keeps the entries that `keep` wants.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.entries.retain(keep);
    }
}

impl<I: ListIndex, T> Index<I> for List<I, T> {
    type Output = T;

    fn index(&self, index: I) -> &T {
        &self.entries[index.index()]
    }
}

impl<I: ListIndex, T> IndexMut<I> for List<I, T> {
    fn index_mut(&mut self, index: I) -> &mut T {
        &mut self.entries[index.index()]
    }
}

impl<'a, I: ListIndex, T> IntoIterator for &'a List<I, T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, I: ListIndex, T> IntoIterator for &'a mut List<I, T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::ids::ConnId;

    #[test]
    fn stale_key_finds_nothing() {
        let mut table: Table<ConnId, &str> = Table::default();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second");
        assert_eq!(second.slot(), first.slot());
        assert_ne!(second, first);
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table[second], "second");
        assert_eq!(table.keys(), [second]);
    }

    #[test]
    #[should_panic(expected = "ConnId(0:0) is gone")]
    fn index_of_stale_key_panics() {
        let mut table: Table<ConnId, ()> = Table::default();
        let key = table.insert(());
        table.remove(key);
        let () = table[key];
    }
}
