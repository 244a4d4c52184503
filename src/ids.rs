//! Ids of the things a loop owns: an index into its slab and a generation.
//!
//! An event or an answer that carries the id of a connection which is gone finds a newer
//! generation in its place and is dropped; nothing can reach a stranger by a stale number.

/// A slab index with the generation of what lived there when the id was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Place in the slab.
    pub index: u32,
    /// How many tenants that place had before this one, modulo 2^31.
    pub generation: u32,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Key);

        impl From<Key> for $name {
            fn from(key: Key) -> Self {
                $name(key)
            }
        }

        impl From<$name> for Key {
            fn from(id: $name) -> Key {
                id.0
            }
        }
    };
}

id!(
    /// One client session on its loop.
    ClientId
);
id!(
    /// One server connection on its loop.
    ServerId
);

/// Which statement a cancel request is for: if any of these moved on, it must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelId {
    /// The server.
    pub server: ServerId,
    /// How often the server had been leased.
    pub lease: u64,
    /// Number of the unit of work on the server.
    pub unit: u64,
}

/// One pool on its loop. Its place is used again only when nothing refers to it any more, so a plain
/// number serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);

/// A slab whose entries are reached only by an id of the right generation.
#[derive(Debug)]
pub struct Arena<I, T> {
    slab: slab::Slab<(u32, T)>,
    next_generation: u32,
    /// Between two generations are those of the other loops.
    step: u32,
    id: std::marker::PhantomData<I>,
}

impl<I: From<Key> + Into<Key> + Copy, T> Default for Arena<I, T> {
    fn default() -> Self {
        Arena::of_loop(0, 1)
    }
}

impl<I: From<Key> + Into<Key> + Copy, T> Arena<I, T> {
    /// An empty one whose ids no other of the `loops` loops gives out.
    #[must_use]
    pub fn of_loop(number: usize, loops: usize) -> Self {
        let id = std::marker::PhantomData;
        let next_generation = u32::try_from(number).expect("few loops");
        let step = u32::try_from(loops).expect("few loops");
        Arena { slab: slab::Slab::new(), next_generation, step, id }
    }

    /// Stores what `make` returns for the id that it is given.
    pub fn insert_with(&mut self, make: impl FnOnce(I) -> T) -> I {
        // 31 bits, so that an id and a kind fit into one 64-bit poll token.
        self.next_generation = self.next_generation.wrapping_add(self.step) & 0x7fff_ffff;
        let entry = self.slab.vacant_entry();
        let index = u32::try_from(entry.key()).expect("fewer than 2^32 connections");
        let id = I::from(Key { index, generation: self.next_generation });
        entry.insert((self.next_generation, make(id)));
        id
    }

    /// The entry, unless it is gone.
    #[must_use]
    #[inline]
    pub fn get(&self, id: I) -> Option<&T> {
        let key: Key = id.into();
        match self.slab.get(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The entry for changing it, unless it is gone.
    #[inline]
    pub fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let key: Key = id.into();
        match self.slab.get_mut(key.index as usize) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the entry out, unless it is gone.
    pub fn remove(&mut self, id: I) -> Option<T> {
        self.get(id)?;
        let key: Key = id.into();
        Some(self.slab.remove(key.index as usize).1)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// All entries with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.slab.iter().map(|(index, (generation, value))| (Self::id(index, *generation), value))
    }

    /// The ids of all entries that `wanted` picks.
    pub fn ids_where(&self, mut wanted: impl FnMut(&T) -> bool) -> Vec<I> {
        self.iter().filter(|(_, value)| wanted(value)).map(|(id, _)| id).collect()
    }

    fn id(index: usize, generation: u32) -> I {
        I::from(Key {
            index: u32::try_from(index).expect("fewer than 2^32 connections"),
            generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_id_does_not_reach_the_new_tenant() {
        let mut arena: Arena<ClientId, &str> = Arena::default();
        let first = arena.insert_with(|_| "first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert_with(|_| "second");
        assert_eq!(first.0.index, second.0.index);
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&"second"));
    }
}
