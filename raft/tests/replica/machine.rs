//! The machine of these tests: a list of words, published like the real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use signpost_raft::machine::{Index, Machine, Section};

/// What readers see: every word with the log index that brought it, and how far is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) words: BTreeMap<Index, String>,
    pub(crate) applied: Index,
}

#[derive(Default)]
pub(crate) struct WordMachine {
    words: BTreeMap<Index, String>,
    pub(crate) published: Arc<Mutex<Words>>,
}

impl Machine for WordMachine {
    type Command = String;
    type Outcome = u64;

    fn apply(&mut self, index: Index, command: String) -> u64 {
        self.words.insert(index, command);
        self.words.len() as u64
    }

    fn publish(&mut self, applied: Index) {
        *self.published.lock().unwrap() = Words { words: self.words.clone(), applied };
    }

    fn digest(&self) -> u128 {
        self.words.iter().fold(0, |digest, (index, word)| {
            word.bytes().fold(digest ^ u128::from(*index), |digest, byte| {
                digest.wrapping_mul(1_099_511_628_211).wrapping_add(u128::from(byte))
            })
        })
    }

    fn freeze(&self) -> Box<dyn Iterator<Item = Section> + Send> {
        let words = self.words.clone();
        Box::new(words.into_iter().map(|(index, word)| {
            let mut section = index.to_be_bytes().to_vec();
            section.extend(word.into_bytes());
            section
        }))
    }

    fn restore(
        &mut self,
        _index: Index,
        sections: &mut dyn Iterator<Item = Section>,
    ) -> Result<(), String> {
        self.words.clear();
        for section in sections {
            let (index, word) = section.split_at_checked(8).ok_or("a short section")?;
            let index = Index::from_be_bytes(index.try_into().map_err(|_| "no index")?);
            let word = String::from_utf8(word.to_vec()).map_err(|error| error.to_string())?;
            self.words.insert(index, word);
        }
        Ok(())
    }
}
